/** The whole page: loads the index, keeps address, settings and marks, and shows the view that the address names. */

import { useEffect, useMemo, useState } from "preact/hooks";
import { Atlas } from "./data/atlas";
import type { Index } from "./data/contract";
import type { DataSource } from "./data/source";
import { Header } from "./parts/header";
import { KeyHelp } from "./parts/key_help";
import { copyView } from "./pictures/save";
import { Sheets } from "./pictures/sheets";
import { SheetsContext } from "./pictures/tile";
import { type App, AppContext, go, useLoaded } from "./state/app";
import { listen, useKeys } from "./state/keys";
import { type Place, type Route, type View, address, parseRoute, placeName } from "./state/route";
import { type Settings, isDark, keepSettings, loadSettings } from "./state/settings";
import { ClassView } from "./views/class";
import { ClassesView } from "./views/classes";
import { CompareView } from "./views/compare";
import { DiagnosisView } from "./views/diagnosis";
import { FilterView } from "./views/filter";
import { LayerView } from "./views/layer";
import { NetworkView } from "./views/network";
import { NotFound } from "./views/not_found";
import { Overview } from "./views/overview";
import { fill, wordsOf } from "./words";

export function Page({ source }: { source: DataSource }) {
  const [settings, setSettings] = useState<Settings>(loadSettings);
  const [route, setRoute] = useState<Route>(() => parseRoute(location.hash));
  const [marked, setMarked] = useState<Place[]>([]);
  const [message, setMessage] = useState("");
  const [help, setHelp] = useState(false);
  const words = wordsOf(settings.language);
  const sheets = useMemo(() => new Sheets(source), [source]);
  const index = useLoaded(() => source.shard<Index>("index"), [source]);
  const atlases = useMemo(
    () => index.value?.atlases.map((manifest) => new Atlas(manifest, source)) ?? [],
    [index.value, source],
  );
  useEffect(() => keepSettings(settings), [settings]);
  useEffect(() => listen(), []);
  useEffect(() => {
    const follow = () => setRoute(parseRoute(location.hash));
    addEventListener("hashchange", follow);
    return () => removeEventListener("hashchange", follow);
  }, []);
  useEffect(() => {
    if (!message) return;
    const timer = setTimeout(() => setMessage(""), 6000);
    return () => clearTimeout(timer);
  }, [message]);

  const atlas = atlases[route.atlas] ?? atlases[0];
  const app: App | null = atlas
    ? {
        atlases,
        atlas,
        route,
        settings,
        words,
        change: (some) => setSettings({ ...settings, ...some }),
        marked,
        mark: (place) => {
          const name = placeName(place);
          if (marked.some((one) => placeName(one) === name)) {
            setMarked([]);
            setMessage(fill(words.said.unmarked, { place: name }));
          } else if (marked.length) {
            setMarked([]);
            go(address({ kind: "compare", places: [...marked, place] }, route.atlas));
          } else {
            setMarked([place]);
            setMessage(fill(words.said.marked, { place: name }));
          }
        },
        say: setMessage,
      }
    : null;

  const name = viewName(route.view);
  useEffect(() => {
    document.title = [name, atlas?.manifest.title, words.brand].filter(Boolean).join(" · ");
  }, [name, atlas, words]);
  const viewKey = `${route.atlas} ${route.view.kind} ${name}`;
  useEffect(() => {
    // A new view begins at its top; where it is the same view of another filter, the reader keeps the place.
    scrollTo(0, 0);
  }, [`${route.atlas} ${route.view.kind}`]);

  const copy = () => {
    const view = document.querySelector<HTMLElement>("main");
    if (!view) return;
    copyView(view, [atlas?.manifest.title, name].filter(Boolean).join(" ")).then(
      (way) => setMessage(words.said[way]),
      (error: unknown) => setMessage(fill(words.said.failed, { reason: String(error) })),
    );
  };
  const nextTheme = () => {
    const theme = isDark(settings.theme) ? "light" : "dark";
    setSettings({ ...settings, theme });
    setMessage(fill(words.said.theme, { theme: words.themes[theme] }));
  };
  const nextLanguage = () => setSettings({ ...settings, language: settings.language === "en" ? "zh" : "en" });
  useKeys(
    {
      "?": () => setHelp(!help),
      "/": () => document.querySelector<HTMLInputElement>("#search")?.focus(),
      g: () => go(address({ kind: "overview" }, route.atlas)),
      n: () => go(address({ kind: "network" }, route.atlas)),
      m: () => go(address({ kind: "classes" }, route.atlas)),
      d: () => {
        if (atlas?.manifest.hasDiagnosis) go(address({ kind: "diagnosis" }, route.atlas));
      },
      p: copy,
      t: nextTheme,
      e: nextLanguage,
      Escape: () => {
        const focused = document.activeElement;
        if (help) setHelp(false);
        else if (focused instanceof HTMLElement && focused.matches("input, select, textarea")) focused.blur();
        else go(address(above(route.view), route.atlas));
      },
    },
    [help, route, settings, atlas],
  );

  return (
    <>
      <a class="skip" href="#content" onClick={(event) => {
        event.preventDefault();
        document.getElementById("content")?.focus();
      }}>
        {words.skip}
      </a>
      {app ? (
        <AppContext.Provider value={app}>
          <SheetsContext.Provider value={sheets}>
            <Header copy={copy} nextTheme={nextTheme} nextLanguage={nextLanguage} showKeys={() => setHelp(true)} />
            <main id="content" tabIndex={-1} key={viewKey.split(" ").slice(0, 2).join(" ")}>
              <Shown route={route} />
            </main>
            {help && <KeyHelp close={() => setHelp(false)} />}
          </SheetsContext.Provider>
        </AppContext.Provider>
      ) : (
        <main id="content" class="alone">
          {index.error ? (
            <p class="trouble" role="alert">
              {fill(words.broken, { reason: index.error.message })}
            </p>
          ) : (
            <p class="loading">{words.loading}…</p>
          )}
        </main>
      )}
      <p class="said" role="status" aria-live="polite">
        {message}
      </p>
    </>
  );
}

function Shown({ route: { view } }: { route: Route }) {
  switch (view.kind) {
    case "overview":
      return <Overview />;
    case "network":
      return <NetworkView />;
    case "layer":
      return <LayerView name={view.layer} />;
    case "filter":
      return <FilterView layer={view.layer} unit={view.unit} />;
    case "classes":
      return <ClassesView />;
    case "class":
      return <ClassView name={view.name} />;
    case "diagnosis":
      return <DiagnosisView />;
    case "compare":
      return <CompareView places={view.places} />;
    case "unknown":
      return <NotFound what="path" values={{ path: view.path }} />;
  }
}

function viewName(view: View): string {
  if (view.kind === "filter") return `${view.layer}:${view.unit}`;
  if (view.kind === "layer") return view.layer;
  if (view.kind === "class") return view.name;
  if (view.kind === "compare") return view.places.map(placeName).join(" | ");
  return "";
}

/** One level back. */
function above(view: View): View {
  if (view.kind === "filter") return { kind: "layer", layer: view.layer };
  if (view.kind === "class") return { kind: "classes" };
  return { kind: "overview" };
}

