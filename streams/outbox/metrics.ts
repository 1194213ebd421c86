/**
 * What the outbox counts, under the names of its contract: each try to publish an event by how it
 * ended, and how long it took.
 */
import * as Metric from "effect/Metric";
import * as Effect from "effect/Effect";

const events = Metric.counter("outbox.events_total", {
  description: "Events that were published, and tries that failed",
  incremental: true,
});

const durations = Metric.histogram("outbox.publish_duration_seconds", {
  description: "How long it took to publish an event",
  boundaries: Metric.exponentialBoundaries({ start: 0.001, factor: 2, count: 15 }),
});

/** Counts one try to publish. */
export const countPublish = (
  status: "success" | "error",
  eventType: string,
  durationMs: number,
): Effect.Effect<void> => {
  const attributes = { event_type: eventType };
  return Effect.andThen(
    Metric.update(Metric.withAttributes(events, { ...attributes, status }), 1),
    Metric.update(
      Metric.withAttributes(durations, status === "error" ? { ...attributes, status } : attributes),
      durationMs / 1_000,
    ),
  );
};
