"""The dashboard: its sources in TypeScript, and in `dist/` what is built of them."""
