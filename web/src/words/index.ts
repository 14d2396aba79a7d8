/** The page's words in the reader's language, and how values go into them. */

import type { Language } from "../state/settings";
import { en, type Words } from "./en";
import { zh } from "./zh";

const LANGUAGES: Record<Language, Words> = { en, zh };

export function wordsOf(language: Language): Words {
  return LANGUAGES[language];
}

/** Put values in the place of {names}. */
export function fill(template: string, values: Record<string, string | number>): string {
  return template.replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));
}
