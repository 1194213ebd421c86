/**
 * Errors of an actor's own classes, raised again where only their records have come: as an instance
 * of the class, with the fields that are JSON, and with the error that reported it as its `cause`.
 * Neither a constructor runs nor does a private field come back.
 */
import * as Schema from "effect/Schema";
import { ChildFailed, StepFailed } from "../schema/execution_errors.ts";
import type { Failure } from "../schema/failure.ts";
import { failureOf, raisedAgain } from "./engine/failure_of.ts";

/** A class of errors. It is found again by its name, or by the one that it gives its instances. */
export type ErrorClass<E = unknown> = abstract new (...args: never) => E;

/** The errors that are instances of a class, or of one of several. */
export type Raised<Class extends ErrorClass> = Class extends ErrorClass<infer E> ? E : never;

const isNamed = ({ name, prototype }: ErrorClass, wanted: string): boolean =>
  name === wanted ||
  (Object.hasOwn(prototype as object, "name") &&
    (prototype as { readonly name: unknown }).name === wanted);

/** The error that a failure is about, if it is of one of the classes; else the one that reports it. */
export const raise = <Report extends Error>(
  classes: ReadonlyArray<ErrorClass>,
  report: Report,
  failure: Failure | undefined,
): unknown => {
  if (failure === undefined) return report;
  const found = classes.find((each) => isNamed(each, failure.name));
  if (found === undefined) return report;
  const error = Object.create(found.prototype as object) as object;
  const own = (name: string, value: unknown, enumerable: boolean) =>
    Object.defineProperty(error, name, { value, enumerable, configurable: true, writable: true });
  const { message, code, data } = failure;
  if (typeof data === "object" && data !== null) {
    for (const [name, value] of Object.entries(data)) own(name, value, true);
  }
  if (Schema.isSchema(found)) own("_tag", failure.name, true);
  if (code !== undefined && Reflect.get(error, "code") !== code) own("code", code, true);
  if (Reflect.get(error, "name") !== failure.name) own("name", failure.name, false);
  own("message", message, false);
  own("stack", `${failure.name}: ${message}\n${report.stack ?? ""}`, false);
  own("cause", report, false);
  const isHandedOn = report instanceof StepFailed || report instanceof ChildFailed;
  raisedAgain.set(error, isHandedOn ? failureOf(report) : failure);
  return error;
};
