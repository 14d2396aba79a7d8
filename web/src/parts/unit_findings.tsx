/** What was found of one filter, and the filters that it has to do with. */

import type { Diagnosis } from "../data/contract";
import { findingsOf, relatedTo } from "../data/diagnosis";
import { useApp } from "../state/app";
import { fill } from "../words";
import type { FilterProps } from "./filter_body";
import { FilterTile } from "./filter_tile";
import { KindLink, LevelSign, relationMark, relationText } from "./finding_words";
import { bestKind } from "./picture_kind";

/** Related filters that are shown. */
const MOST = 24;

export function UnitFindings({ atlas, layer, data, place, diagnosis }: FilterProps & { diagnosis: Diagnosis }) {
  const { words } = useApp();
  const unit = data.units[place] ?? place;
  const judged = findingsOf(diagnosis, layer, unit);
  const related = relatedTo(diagnosis, layer, unit);
  if (!judged.length && !related.length) return null;
  const some = related.slice(0, MOST);
  const shows = bestKind(data, [unit, ...some.map((one) => one.other)]);
  return (
    <section role="group" aria-label={words.diagnosis.title} class="unit-findings">
      <h2>{words.diagnosis.title}</h2>
      {judged.map(({ verdict, finding }) => (
        <p key={verdict.kind}>
          <LevelSign level={verdict.level} /> <KindLink atlas={atlas} kind={verdict.kind} />: <span lang="en">{finding.evidence}</span>
        </p>
      ))}
      {some.length > 0 && (
        <ul class="related" aria-label={words.diagnosis.related}>
          {some.map(({ relation, other }) => (
            <li key={`${relation.kind} ${other}`}>
              <FilterTile {...{ atlas, layer, data, shows }} place={data.units.indexOf(other)} size={64} value={relationMark(relation)} />
              <span>{relationText(relation, words)}</span>
            </li>
          ))}
        </ul>
      )}
      {related.length > MOST && <p class="note">{fill(words.diagnosis.more, { n: related.length - MOST })}</p>}
    </section>
  );
}
