import { defineConfig } from "vitest/config";

// One classic script and one style sheet: module scripts do not run from file://.
export default defineConfig({
  build: {
    outDir: "../src/filterscope/report/static",
    emptyOutDir: true,
    target: "es2022",
    cssTarget: "chrome111",
    sourcemap: false,
    modulePreload: false,
    lib: { entry: "src/main.tsx", name: "filterscopePage", formats: ["iife"], fileName: () => "app.js", cssFileName: "app" },
  },
  define: { "process.env.NODE_ENV": '"production"' },
  test: { include: ["tests/**/*.test.ts", "tests/**/*.test.tsx"] },
});
