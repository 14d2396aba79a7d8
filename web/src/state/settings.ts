/** What the reader has chosen for this page and finds again: language and theme. */

export type Language = "en" | "zh";
export type Theme = "auto" | "light" | "dark";

export interface Settings {
  language: Language;
  theme: Theme;
}

const KEY = "filterscope";

export function loadSettings(): Settings {
  const fallback: Settings = { language: navigator.language.startsWith("zh") ? "zh" : "en", theme: "auto" };
  try {
    const kept = JSON.parse(localStorage.getItem(KEY) ?? "{}") as Partial<Settings>;
    return {
      language: kept.language === "en" || kept.language === "zh" ? kept.language : fallback.language,
      theme: kept.theme === "light" || kept.theme === "dark" ? kept.theme : fallback.theme,
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
