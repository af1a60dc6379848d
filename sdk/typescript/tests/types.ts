// Checked by the compiler only: what a reader of the types may write.

import { type EsimEvent, isEsimEvent, type UnknownEvent } from "esimhooks";
import type { Receiver } from "esimhooks/receiver";

export function told(event: EsimEvent | UnknownEvent): string {
  if (!isEsimEvent(event)) return event.event;
  switch (event.event) {
    case "esim.data_updated":
      return (event.thresholds ?? []).map((percent: number) => `${percent} %`).join(", ");
    case "esim.suspended":
    case "esim.expired":
      return event.reason ?? "";
    case "esim.activated":
      // @ts-expect-error only data_updated has thresholds
      return String(event.thresholds) + (event.data.iccid satisfies string | null | undefined);
    default:
      return event.data.esimStatus ?? "";
  }
}

export function registered(receiver: Receiver): void {
  receiver.on("esim.data_updated", async (event, { signal }) => {
    await fetch(`https://example.com/${(event.thresholds ?? []).length}`, { signal });
  });
  receiver.on(["esim.suspended", "esim.expired"], (event) => event.reason satisfies string | undefined);
  // @ts-expect-error only two of the eight have a reason
  receiver.on("esim.created", (event) => event.reason satisfies string);
  receiver.on("*", (event) => told(event), { name: "all", ordered: true });
  receiver.transactional("esim.created", (event, connection: { exec(sql: string): void }) => {
    connection.exec(`INSERT INTO welcomed VALUES ('${event.data.transactionId satisfies string}')`);
  });
}
