/** The images of a readme or a note: those of the run's own files are shown, those from elsewhere are links. */

import { Marked, type Token } from "marked";

const SHOWN_DATA = /^data:image\/(?:png|jpe?g|gif|webp);/i;
const ELSEWHERE = /^(?:[a-z][a-z0-9+.-]*:|\/\/)/i;
const marked = new Marked({ gfm: true });

/** Where an image is: in the text itself, among the run's files under this name, or elsewhere. */
export type Place = { kind: "data" } | { kind: "own"; name: string } | { kind: "elsewhere" };

export function placeOf(address: string): Place {
  if (SHOWN_DATA.test(address)) return { kind: "data" };
  if (ELSEWHERE.test(address)) return { kind: "elsewhere" };
  const parts = decoded(address.split(/[?#]/, 1)[0]!).split("/").filter((part) => part !== "" && part !== ".");
  return parts.includes("..") || !parts.length ? { kind: "elsewhere" } : { kind: "own", name: parts.join("/") };
}

/** The names of the run's own files that a text shows as images, each once. */
export function ownImages(text: string): string[] {
  const found = new Set<string>();
  marked.walkTokens(marked.lexer(text), (token: Token) => {
    if (token.type !== "image") return;
    const place = placeOf(String(token.href));
    if (place.kind === "own") found.add(place.name);
  });
  return [...found];
}

function decoded(address: string): string {
  try {
    return decodeURIComponent(address);
  } catch {
    return address;
  }
}
