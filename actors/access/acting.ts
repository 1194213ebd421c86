/**
 * Who a connection acts as: the service itself, which may do everything and may act as others, or
 * one principal for good. It chooses the door and judges nothing.
 */
import * as Effect from "effect/Effect";
import type * as ManagedRuntime from "effect/ManagedRuntime";
import { Principal } from "../../schema/access_names.ts";
import { InvalidInput } from "../../schema/errors.ts";
import { parse, type Tenant } from "../../schema/ids.ts";
import type { Grants } from "../../streams/grants.ts";
import type { ActingWeir, Weir } from "../weir.ts";
import { Guard } from "./guard.ts";
import { guarded } from "./guarded.ts";

/** A door of one tenant's connection, without what closes it. */
type Door = Omit<ActingWeir, "principal"> & { readonly tenant: Tenant };

/** The door for a principal, if one is named, or else for the service. */
export const actingOn = <D extends Door>(
  runtime: ManagedRuntime.ManagedRuntime<Grants, unknown>,
  door: D,
  principal: string | undefined,
): D & Pick<Weir, "as" | "principal"> => {
  const acting = (text: string): D & { readonly principal: string } => {
    const principal = Effect.runSync(parse(Principal, "principal", text));
    return { ...guarded(door, new Guard(runtime, principal, door.tenant)), principal };
  };
  if (principal === undefined) return { ...door, principal, as: acting };
  const as: Weir["as"] = (other) => {
    const rule = `this connection acts as ${principal} already: ` +
      "connect without a principal to act as several";
    throw new InvalidInput({ what: "principal", value: other, rule });
  };
  return { ...acting(principal), as };
};
