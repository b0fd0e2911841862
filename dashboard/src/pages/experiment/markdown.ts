/** A readme as HTML in which nothing runs and nothing is loaded from elsewhere. */

import DOMPurify from "dompurify";
import { Marked } from "marked";

import { escaped as escapedCharacter, TURNING } from "../../ui/terminal";

const purify = DOMPurify(window);
/** HTML in a readme is shown as the text that it is. */
const markdown = new Marked({ async: false, gfm: true, renderer: { html: ({ text }) => escaped(text) } });

purify.addHook("afterSanitizeAttributes", (node) => {
  if (node.tagName === "A") {
    node.setAttribute("target", "_blank");
    node.setAttribute("rel", "noopener noreferrer nofollow");
  }
  if (node.tagName === "IMG" && !node.getAttribute("src")?.startsWith("data:image/")) {
    // a picture from elsewhere would tell who looks at what: it becomes a link
    const link = document.createElement("a");
    link.href = node.getAttribute("src") ?? "";
    link.textContent = node.getAttribute("alt") || "picture";
    link.target = "_blank";
    link.rel = "noopener noreferrer nofollow";
    node.replaceWith(link);
  }
});

export function readmeHtml(text: string): string {
  return purify.sanitize(markdown.parse(text.replace(TURNING, escapedCharacter), { async: false }), {
    USE_PROFILES: { html: true },
    FORBID_TAGS: ["style", "form", "input", "button", "textarea", "select", "iframe", "video", "audio"],
    FORBID_ATTR: ["style", "class", "id", "name", "srcset"],
    ALLOWED_URI_REGEXP: /^(?:https?:|mailto:|data:image\/(?:png|jpe?g|gif|webp);|#)/i,
  });
}

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
