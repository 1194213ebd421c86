/**
 * The keeper: a small detached `sh` that owns one store for one generation, runs nats-server on it,
 * and ends it when the last user is gone. At most one generation of a store is ever alive, and its
 * server never outlives its keeper, whichever process is killed. It never starts a server twice;
 * users do that, by claiming the next generation (docs/adr/0003-embedded-server.md).
 */
import type { ChildProcessByStdio } from "node:child_process";
import { spawn } from "node:child_process";
import process from "node:process";
import type { Readable, Writable } from "node:stream";
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import type { Configuration } from "./configuration.ts";
import { encode } from "./configuration.ts";

/**
 * `keeper.<n>` is a FIFO. Its reading end is held by the keeper, by the server, and by the two
 * processes between them, and by nobody else: while it can be opened for writing without blocking,
 * the store may be in use. `open.<n>.json` is the server's configuration, there as long as users may
 * come.
 *
 * The keeper reads the FIFO; its child waits for the server; and that one's child, the guard, reads
 * a pipe, the leash, whose other end only the keeper holds. Helper programs drop these descriptors,
 * so that none of them seems to be the keeper.
 */
const script = `
unset WEIR_KEEPER
generation=$1 binary=$2 store=$3
umask 077
exec 7<&- 8<&- 9<&-

withdraw() { mv "open.$generation.json" "closed.$generation.json" 2>/dev/null; }

# The name appears with the reading end already held: a FIFO without a reader is a dead keeper's.
claim="claim.$generation.$$"
rm -f "$claim" && mkfifo "$claim" || exit 1
exec 3<>"$claim" 4<"$claim" 3>&-
if ln "$claim" "keeper.$generation" 2>/dev/null; then
  rm -f "$claim"
elif [ -p "keeper.$generation" ] || [ ! -p "$claim" ]; then
  # It is another keeper's, and perhaps a later one has already swept this claim away.
  rm -f "$claim"
  exit 0
else
  rm -f "$claim"
  echo "keeper.$generation cannot be created" >&2
  exit 1
fi
for other in keeper.*; do
  [ "\${other#keeper.}" -gt "$generation" ] && exit 0
done

# A line without its end is a starter that died: an empty configuration would be a valid one.
IFS= read -r configuration || exit 1
printf '%s\\n' "$configuration" >"draft.$generation" &&
  mv "draft.$generation" "open.$generation.json" || exit 1
for old in keeper.* open.* closed.* draft.* claim.*; do
  number=\${old#*.}
  [ "\${number%%.*}" -lt "$generation" ] 2>/dev/null && rm -f "$old"
done

rm -f leash server.pid && mkfifo leash || exit 1
exec 5<>leash 6<leash
rm -f leash
(
  "$binary" -c "$store/open.$generation.json" >>server.log 2>&1 6<&- &
  server=$!
  (
    read -r nothing <&6
    withdraw
    kill -TERM $server
    sleep 2 4<&- 6<&-
    kill -KILL $server
  ) &
  guard=$!
  exec 6<&-
  wait $server
  withdraw
  kill -KILL $guard
  echo stopped 1<>"keeper.$generation"
) </dev/null >/dev/null 2>&1 5<&- &
echo kept
# Until the starter has come in, or died.
read -r nothing
exec </dev/null >/dev/null 2>&1 6<&-

# Every user writes a line when it comes, so that one who came and went is seen as well.
someone_came() {
  read -r word <&4 || return 1
  [ "$word" != stopped ] || exit 0
}

# After the grace the store is withdrawn before the last look: who finds it open wrote before that.
while :; do
  while someone_came; do :; done
  sleep 1 4<&- 5<&-
  withdraw
  someone_came || break
  mv "closed.$generation.json" "open.$generation.json"
done
# The guard does the same as soon as the leash is gone, unless someone killed it.
read -r server <server.pid
kill -TERM "$server"
`;

export interface Claim {
  readonly store: string;
  readonly generation: number;
  readonly binary: string;
  readonly configuration: Configuration;
}

type Keeper = ChildProcessByStdio<Writable, Readable, Readable>;

/** Starts a keeper, which waits for the configuration on its standard input. */
export const start = (
  { store, generation, binary }: Omit<Claim, "configuration">,
): Effect.Effect<Keeper, string> =>
  Effect.try({
    try: () =>
      spawn(
        "/bin/sh",
        // Not the script itself: this is what people see in a list of processes.
        ["-c", 'eval "$WEIR_KEEPER"', "weir-keeper", String(generation), binary, store],
        {
          cwd: store,
          detached: true,
          env: { PATH: process.env["PATH"], WEIR_KEEPER: script },
          stdio: ["pipe", "pipe", "pipe"],
        },
      ),
    catch: String,
  });

/** Whether the keeper owns the store now; false if another one does, or if it was killed. */
const decided = (keeper: Keeper): Effect.Effect<boolean, string> =>
  Effect.callback((resume) => {
    let said = "";
    let complained = "";
    keeper.stdout.on("data", (chunk) => {
      said += chunk;
      if (said === "kept\n") resume(Effect.succeed(true));
    });
    keeper.stderr.on("data", (chunk) => complained += chunk);
    keeper.once("error", (error) => resume(Effect.fail(error.message)));
    keeper.once("close", (code, signal) => {
      const reason = complained.trim() || `the keeper ended with ${code}`;
      resume(code === 0 || signal !== null ? Effect.succeed(false) : Effect.fail(reason));
    });
  });

/**
 * Starts a keeper and, if it owns the store, does `moveIn` before the keeper first looks for users;
 * the server may still be starting. None if another keeper was faster, or if this one was killed,
 * and a reason if the store cannot be owned at all.
 */
export const claim = <A, R>(
  wanted: Claim,
  moveIn: Effect.Effect<Option.Option<A>, string, R>,
): Effect.Effect<Option.Option<A>, string, R> =>
  Effect.acquireUseRelease(
    start(wanted),
    Effect.fnUntraced(function* (keeper) {
      keeper.stdin.on("error", () => {});
      keeper.stdin.write(`${encode(wanted.configuration)}\n`);
      return (yield* decided(keeper)) ? yield* moveIn : Option.none();
    }),
    (keeper) =>
      Effect.sync(() => {
        keeper.stdin.end();
        keeper.unref();
      }),
  );
