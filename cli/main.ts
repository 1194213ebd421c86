#!/usr/bin/env node
/** The program `weir`: the command line on the arguments and streams of this process. */
import process from "node:process";
import * as NodeChildProcessSpawner from "@effect/platform-node-shared/NodeChildProcessSpawner";
import * as NodeFileSystem from "@effect/platform-node-shared/NodeFileSystem";
import * as NodePath from "@effect/platform-node-shared/NodePath";
import * as NodeRuntime from "@effect/platform-node-shared/NodeRuntime";
import * as NodeStdio from "@effect/platform-node-shared/NodeStdio";
import * as NodeTerminal from "@effect/platform-node-shared/NodeTerminal";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Layer from "effect/Layer";
import * as Runtime from "effect/Runtime";
import { failed, succeeded } from "./failure.ts";
import { run } from "./weir.ts";

const layer = NodeChildProcessSpawner.layer.pipe(
  Layer.provideMerge(Layer.mergeAll(
    NodeFileSystem.layer,
    NodePath.layer,
    NodeStdio.layer,
    NodeTerminal.layer,
  )),
);

/** A reader that has read enough, `head` say, closes the pipe: the work is done. */
const unread = Effect.callback<number>((resume) => {
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    resume(Effect.succeed(error.code === "EPIPE" ? succeeded : failed));
  });
  process.stderr.on("error", () => undefined);
});

/** Whatever is left of a connection that failed ends with the process. */
const teardown: Runtime.Teardown = (exit, onExit) =>
  Exit.isSuccess(exit)
    ? onExit(typeof exit.value === "number" ? exit.value : succeeded)
    : Runtime.defaultTeardown(exit, onExit);

run(process.argv.slice(2)).pipe(
  Effect.raceFirst(unread),
  Effect.provide(layer),
  NodeRuntime.runMain({ disableErrorReporting: true, teardown }),
);
