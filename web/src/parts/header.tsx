/** The bar at the top: where one is, where one can go, and what changes the page itself. */

import { address, type View } from "../state/route";
import { useAddress, useApp, go } from "../state/app";
import { Search } from "./search";

interface HeaderProps {
  copy: () => void;
  nextTheme: () => void;
  nextLanguage: () => void;
  showKeys: () => void;
}

export function Header({ copy, nextTheme, nextLanguage, showKeys }: HeaderProps) {
  const { atlases, atlas, route, words } = useApp();
  const to = useAddress();
  const here = route.view.kind;
  const link = (view: View, name: string, kinds: View["kind"][]) => (
    <a href={to(view)} aria-current={kinds.includes(here) ? "page" : undefined}>
      {name}
    </a>
  );
  return (
    <header class="topbar">
      <a class="brand" href={to({ kind: "overview" })}>
        {words.brand}
      </a>
      {atlases.length > 1 && (
        <select
          aria-label={words.nav.atlas}
          value={String(atlases.indexOf(atlas))}
          onChange={(event) => go(address(route.view, Number(event.currentTarget.value), route.query))}
        >
          {atlases.map((one, number) => (
            <option key={one.key} value={String(number)}>
              {one.manifest.title}
            </option>
          ))}
        </select>
      )}
      <nav aria-label={words.nav.menu}>
        {link({ kind: "overview" }, words.nav.overview, ["overview"])}
        {link({ kind: "network" }, words.nav.network, ["network", "layer", "filter"])}
        {atlas.manifest.hasClasses && link({ kind: "classes" }, words.nav.classes, ["classes", "class"])}
        {atlas.manifest.hasDiagnosis && link({ kind: "diagnosis" }, words.nav.diagnosis, ["diagnosis"])}
        {link({ kind: "compare", places: [] }, words.nav.compare, ["compare"])}
      </nav>
      <Search />
      <div class="tools">
        <button type="button" onClick={copy} title={`${words.nav.copy} (p)`}>
          PNG
          <span class="hidden"> {words.nav.copy}</span>
        </button>
        <button type="button" onClick={nextLanguage} title="e" lang={words.nav.language === "English" ? "en" : "zh-Hans"}>
          {words.nav.language}
        </button>
        <button type="button" onClick={nextTheme} title={`${words.nav.theme} (t)`} aria-label={words.nav.theme}>
          <span aria-hidden="true">◐</span>
        </button>
        <button type="button" onClick={showKeys} title={`${words.nav.keys} (?)`} aria-label={words.nav.keys}>
          <span aria-hidden="true">?</span>
        </button>
      </div>
    </header>
  );
}
