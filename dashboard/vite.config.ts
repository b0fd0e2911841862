import { defineConfig } from "vitest/config";

// `npm run dev` serves the pages with reloading, in front of a server that runs already: ML_DASH_SERVER names it.
const server = process.env.ML_DASH_SERVER ?? "http://127.0.0.1:7007";

export default defineConfig({
  build: {
    target: "es2022",
    outDir: "../ml_dash/server/dashboard/dist",
    emptyOutDir: true,
    // The content security policy allows neither inline scripts nor data: for them.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    sourcemap: false,
  },
  server: { proxy: { "/api": server, "/device": server } },
  test: { environment: "node", include: ["src/**/*.test.ts"] },
});
