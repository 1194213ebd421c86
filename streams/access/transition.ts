/**
 * What a grant becomes by a change: a pure function of what is held and what is asked for. A change
 * that changes nothing gives nothing, so that each transition has one record and each record is one.
 */
import type { CapabilityName, RoleName } from "../../schema/access_names.ts";
import type { GrantChange, GrantRecord, Role } from "../../schema/grant_record.ts";

/** What holds between two changes. */
export type Given = Pick<GrantRecord, "roles" | "granted" | "revoked">;

export const nothing: Given = { roles: [], granted: [], revoked: [] };

const withOne = <Name extends string>(names: ReadonlyArray<Name>, name: Name) =>
  names.includes(name) ? names : [...names, name].sort();

const without = <Name extends string>(names: ReadonlyArray<Name>, name: Name) =>
  names.includes(name) ? names.filter((each) => each !== name) : names;

const isSame = (a: Role, b: Role): boolean =>
  a.name === b.name && [...a.capabilities].sort().join() === [...b.capabilities].sort().join();

const otherRoles = (roles: ReadonlyArray<Role>, name: RoleName) =>
  roles.some((each) => each.name === name) ? roles.filter((each) => each.name !== name) : roles;

const changed = (given: Given, change: GrantChange): Given => {
  const { roles, granted, revoked } = given;
  switch (change.type) {
    case "roleAssigned":
      return roles.some((each) => isSame(each, change.role)) ? given : {
        ...given,
        roles: [...otherRoles(roles, change.role.name), change.role],
      };
    case "roleUnassigned":
      return { ...given, roles: otherRoles(roles, change.role) };
    case "capabilityGranted":
      return {
        roles,
        granted: withOne(granted, change.capability),
        revoked: without(revoked, change.capability),
      };
    case "capabilityRevoked":
      return {
        roles,
        granted: without(granted, change.capability),
        revoked: withOne(revoked, change.capability),
      };
  }
};

/** What holds after the change, unless that is what held before. */
export const after = (given: Given, change: GrantChange): Given | undefined => {
  const next = changed(given, change);
  const isUnchanged = next.roles === given.roles && next.granted === given.granted &&
    next.revoked === given.revoked;
  return isUnchanged ? undefined : next;
};

/** What somebody may do by all that is given to him: what is revoked anywhere, he may not. */
export const effective = (given: ReadonlyArray<Given>): ReadonlySet<CapabilityName> => {
  const all = new Set(given.flatMap(({ roles, granted }) => [
    ...granted,
    ...roles.flatMap((role) => role.capabilities),
  ]));
  for (const { revoked } of given) for (const capability of revoked) all.delete(capability);
  return all;
};
