/** What the reader has chosen for this page and finds again: language, theme, how patches are carried back to pixels. */

export type Language = "en" | "zh";
export type Theme = "auto" | "light" | "dark";

export interface Settings {
  language: Language;
  theme: Theme;
  /** The method of the back-projections; null: the first there is. */
  backprojection: string | null;
}

const KEY = "filterscope";

export function loadSettings(): Settings {
  const language = navigator.language.startsWith("zh") ? "zh" : "en";
  const fallback: Settings = { language, theme: "auto", backprojection: null };
  try {
    const kept = JSON.parse(localStorage.getItem(KEY) ?? "{}") as Partial<Settings>;
    return {
      language: kept.language === "en" || kept.language === "zh" ? kept.language : fallback.language,
      theme: kept.theme === "light" || kept.theme === "dark" ? kept.theme : fallback.theme,
      backprojection: typeof kept.backprojection === "string" ? kept.backprojection : null,
    };
  } catch {
    // Some browsers keep nothing for pages from disk.
    return fallback;
  }
}

export function keepSettings(settings: Settings): void {
  document.documentElement.lang = settings.language === "zh" ? "zh-Hans" : "en";
  if (settings.theme === "auto") delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = settings.theme;
  try {
    localStorage.setItem(KEY, JSON.stringify(settings));
  } catch {
    // As above: the choice then lasts as long as the page.
  }
}

export function isDark(theme: Theme): boolean {
  return theme === "dark" || (theme === "auto" && matchMedia("(prefers-color-scheme: dark)").matches);
}
