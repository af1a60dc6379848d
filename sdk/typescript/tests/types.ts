// Checked by the compiler only: what a reader of the types may write.

import { type EsimEvent, isEsimEvent, type UnknownEvent } from "esimhooks";

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
