/**
 * What a tag may be called and say: names of two parts or more, like `team.name`, and short texts.
 * Whoever attaches tags checks them here first.
 */
import * as Schema from "effect/Schema";

/** Says what an execution is, if it is a schedule. Its start says so, and nobody else may. */
export const kindTag = "weir.kind";

export const TagName = Schema.String.check(
  Schema.isPattern(/^[a-z][a-z0-9_]*\.[a-z0-9_][a-z0-9_.]*$/, {
    expected: "a tag name in two parts or more, like team.name",
  }),
  Schema.isMaxLength(128),
  Schema.makeFilter<string>((name) => name !== kindTag, {
    expected: `a tag name other than ${kindTag}, which nobody sets`,
  }),
);

export const TagValue = Schema.String.check(Schema.isMaxLength(256));

const isTagName = Schema.is(TagName);

/** Says below which execution one was submitted. */
export const belowTag = "weir.parent";

/** Says of a run which schedule has started it. */
export const runsTag = "weir.schedule";

/** What an execution may be started with besides what the engine adds; its code may attach more. */
const mostTags = 100;
const added = [belowTag, runsTag];

/** A record of the schema alone would drop the names that it does not know. */
export const Tags = Schema.Record(Schema.String, TagValue).check(
  Schema.makeFilter<Readonly<Record<string, string>>>(
    (tags) => Object.keys(tags).every(isTagName),
    { expected: `tag names in two parts or more, like team.name, and none that is ${kindTag}` },
  ),
  Schema.makeFilter<Readonly<Record<string, string>>>(
    (tags) => Object.keys(tags).filter((name) => !added.includes(name)).length <= mostTags,
    { expected: `at most ${mostTags} tags` },
  ),
);
