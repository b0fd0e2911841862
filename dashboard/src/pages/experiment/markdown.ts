/** A readme or a note as HTML in which nothing runs and nothing is loaded from elsewhere. */

import DOMPurify from "dompurify";
import { Marked } from "marked";

import { addressOf } from "../../state/base";
import { escaped as escapedCharacter, TURNING } from "../../ui/terminal";
import { placeOf } from "./images";

/** The address of each of the run's own files that is shown; null where there is no such file. */
export type OwnFiles = ReadonlyMap<string, string | null>;

const purify = DOMPurify(window);
const LINKED = /^(?:https?:|mailto:|#)/i;
const CONTENTS = addressOf("/api/v1/experiments/");

purify.addHook("afterSanitizeAttributes", (node) => {
  if (node.tagName !== "A") return;
  if (!LINKED.test(node.getAttribute("href") ?? "")) node.removeAttribute("href");
  node.setAttribute("target", "_blank");
  node.setAttribute("rel", "noopener noreferrer nofollow");
});
purify.addHook("uponSanitizeAttribute", (node, data) => {
  // of this server, and as `imageHtml` has written it
  if (node.tagName === "IMG" && data.attrName === "src" && data.attrValue.startsWith(CONTENTS)) data.forceKeepAttr = true;
});

export function markdownHtml(text: string, files: OwnFiles): string {
  const markdown = new Marked({
    async: false,
    gfm: true,
    renderer: {
      // HTML is shown as the text that it is
      html: ({ text }) => escaped(text),
      image: ({ href, text, title }) => imageHtml(href, text || title || "", files),
    },
  });
  return purify.sanitize(markdown.parse(text.replace(TURNING, escapedCharacter), { async: false }), {
    USE_PROFILES: { html: true },
    FORBID_TAGS: ["style", "form", "input", "button", "textarea", "select", "iframe", "video", "audio"],
    FORBID_ATTR: ["style", "class", "id", "name", "srcset"],
    ALLOWED_URI_REGEXP: /^(?:https?:|mailto:|data:image\/(?:png|jpe?g|gif|webp);|#)/i,
  });
}

function imageHtml(address: string, told: string, files: OwnFiles): string {
  const place = placeOf(address);
  const alt = escaped(told);
  if (place.kind === "data") return `<img src="${escaped(address)}" alt="${alt}">`;
  if (place.kind === "elsewhere") {
    // a picture from elsewhere would tell who looks at what
    return `<a href="${escaped(address)}">${alt || escaped(address) || "picture"}</a>`;
  }
  const url = files.get(place.name);
  if (url) return `<img src="${escaped(url)}" alt="${alt}">`;
  return `<em>${alt || escaped(place.name)}${url === null ? ` (this run has no file ${escaped(place.name)})` : ""}</em>`;
}

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
