/** The path of the host below which the server is, as the page says it: empty for the whole host, else as "/ml-dash". */
export const BASE =
  typeof document === "undefined"
    ? ""
    : (document.querySelector<HTMLMetaElement>('meta[name="ml-dash-base"]')?.content ?? "");

/** The address of one of the server's paths. */
export function addressOf(path: string, base = BASE): string {
  return base + path;
}

/** The path of an address as the server has it. */
export function pathIn(address: string, base = BASE): string {
  if (!base || (address !== base && !address.startsWith(`${base}/`))) return address;
  return address.slice(base.length) || "/";
}
