/**
 * Writes src/api/types.ts, of the server's OpenAPI document on standard input: see `make types-dashboard`.
 * With --check it only says whether it would change anything.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { text } from "node:stream/consumers";
import openapiTS, { astToString } from "openapi-typescript";

const file = new URL("src/api/types.ts", import.meta.url);
const { openapi, info, components } = JSON.parse(await text(process.stdin));
// the bodies only: the pages write their paths as texts
const nodes = await openapiTS(
  { openapi, info, paths: {}, components: { schemas: components.schemas } },
  { rootTypes: true, rootTypesNoSchemaPrefix: true, rootTypesKeepCasing: true, defaultNonNullable: false },
);
const types = `/** Made of ml_dash/shapes.py by \`make types-dashboard\`: change that instead. */\n\n${astToString(nodes)}`;
if (!process.argv.includes("--check")) {
  writeFileSync(file, types);
} else if (readFileSync(file, "utf8") !== types) {
  console.error("src/api/types.ts is not what the server's API has: run `make types-dashboard`");
  process.exit(1);
}
