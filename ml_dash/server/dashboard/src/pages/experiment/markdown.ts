/** A readme as HTML in which nothing runs and nothing is loaded from elsewhere. */

import DOMPurify from "dompurify";
import { marked } from "marked";

const purify = DOMPurify(window);

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
  const html = marked.parse(text, { async: false, gfm: true });
  return purify.sanitize(html, {
    USE_PROFILES: { html: true },
    FORBID_TAGS: ["style", "form", "input", "button", "textarea", "select", "iframe", "video", "audio"],
    FORBID_ATTR: ["style", "class", "id", "name", "srcset"],
    ALLOWED_URI_REGEXP: /^(?:https?:|mailto:|data:image\/(?:png|jpe?g|gif|webp);|#)/i,
  });
}
