/** `weir engine`: has a tenant, a lane or everything paused, drained, disabled and resumed. */
import * as Effect from "effect/Effect";
import * as Command from "effect/cli/Command";
import * as Flag from "effect/cli/Flag";
import { Principal } from "../../schema/access_names.ts";
import { ControlReason, type EngineState } from "../../schema/control_record.ts";
import { scopeText } from "../../schema/execution_errors.ts";
import { Lane } from "../../schema/ids.ts";
import { EngineControl, type Standing, type Whose } from "../../streams/engine_control.ts";
import { by, checked, given, reason } from "../flags.ts";
import { type Column, printList, printOne } from "../report.ts";
import { existing, layer, tenant } from "../root.ts";
import { iso } from "../screen.ts";

const allTenants = Flag.Boolean("all-tenants").pipe(
  Flag.withDescription("Of every tenant, instead of that of --tenant"),
  Flag.withDefault(false),
);

const lane = Flag.String("lane").pipe(
  Flag.withMetavar("name"),
  Flag.withDescription("Only what was started in this lane; default for what names none"),
  Flag.optional,
);

/** Whose the flags say that it is. */
const whoseOf = Effect.fnUntraced(function* (isEverybodys: boolean) {
  const whose: Whose = isEverybodys ? { allTenants: true } : { tenant: yield* tenant };
  return whose;
});

const shown = ({ revision: _, ...standing }: Standing) => standing;

const columns: ReadonlyArray<Column<Omit<Standing, "revision">>> = [
  { title: "TENANT", of: ({ tenant }) => tenant ?? "(all)" },
  { title: "LANE", of: ({ lane }) => lane ?? "(all)" },
  {
    title: "STATE",
    of: ({ state }) => state,
    color: ({ state }) => state === "draining" ? "yellow" : "red",
  },
  { title: "SINCE", of: ({ since }) => iso(since) },
  { title: "BY", of: ({ by }) => by ?? "-" },
  { title: "REASON", of: ({ reason }) => reason ?? "-" },
];

/** A command that has something stand so. */
const changing = (name: string, state: EngineState, description: string) =>
  Command.make(name, { allTenants, lane, reason, by }, (asked) =>
    Effect.gen(function* () {
      const whose = yield* whoseOf(asked.allTenants);
      const scope = {
        ...("tenant" in whose ? whose : {}),
        ...given("lane", yield* checked(Lane, "lane", asked.lane)),
      };
      const { changed, ...standing } = yield* (yield* EngineControl).change(scope, state, {
        ...given("reason", yield* checked(ControlReason, "reason", asked.reason)),
        ...given("by", yield* checked(Principal, "principal", asked.by)),
      });
      yield* printOne({ ...shown(standing), changed }, [
        `${scopeText(scope)}  ${changed ? state : `was ${state} already`}`,
      ]);
    }).pipe(Effect.provide(layer()))).pipe(
      Command.withDescription(description),
      Command.withExamples([
        { command: `weir engine ${name} --tenant acme` },
        { command: `weir engine ${name} --all-tenants --lane gpu` },
      ]),
    );

const status = Command.make("status", { allTenants }, (asked) =>
  Effect.gen(function* () {
    const whose = yield* whoseOf(asked.allTenants);
    yield* printList(columns, (yield* (yield* EngineControl).list(whose)).map(shown));
  }).pipe(Effect.provide(existing))).pipe(
    Command.withDescription("List what is not open, of a tenant with what holds for all"),
    Command.withExamples([{ command: "weir engine status --all-tenants --json" }]),
  );

export const engine = Command.make("engine").pipe(
  Command.withDescription("Pause, drain and resume a tenant, a lane, or everything"),
  Command.withSubcommands([
    changing("pause", "paused", "Take nothing up; what has begun goes on until it waits"),
    changing("drain", "draining", "Refuse starts; what is there goes on to its end"),
    changing("disable", "disabled", "Refuse starts, and take nothing up"),
    changing("resume", "open", "Accept starts, and have everything go on that was kept"),
    status,
  ]),
);
