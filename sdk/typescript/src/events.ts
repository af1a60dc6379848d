// Made by tools/typescript_types.py from the JSON Schemas of the events. Do not edit.

/** The events that this release knows. */
export const EVENT_TYPES = [
  "esim.created",
  "esim.activated",
  "esim.data_updated",
  "esim.usage_updated",
  "esim.suspended",
  "esim.expired",
  "esim.status_changed",
  "esim.requeried",
] as const;

export type EventType = (typeof EVENT_TYPES)[number];

/** Minutes of voice, or text messages, of an eSIM. */
export interface Allowance {
  total?: number | null;
  used?: number | null;
}

/** The device in which the profile is installed, as its provider names it. */
export interface Device {
  make?: string | null;
  model?: string | null;
}

/** State of one eSIM as merchants see it. Null is what no provider has reported; from `plans` on it is absent. */
export interface EsimData {
  /** `esim_` and 26 characters */
  id: string;
  /** your reference of the order */
  transactionId: string;
  /** the provider's number of the order */
  orderNo?: string | null;
  /** the provider's key of the eSIM */
  esimTranNo?: string | null;
  /** the plan that was ordered */
  packageCode?: string | null;
  /** name of that plan */
  packageName?: string | null;
  /** number of the profile, 18-20 digits as text */
  iccid?: string | null;
  /** number of the subscriber */
  imsi?: string | null;
  /** phone number */
  msisdn?: string | null;
  /** number of the device's eUICC */
  eid?: string | null;
  /** activation code, `LPA:1$...`: a credential */
  ac?: string | null;
  /** picture of the activation code: a credential */
  qrCodeUrl?: string | null;
  /** the provider's page for the installation */
  shortUrl?: string | null;
  /** access point name */
  apn?: string | null;
  /** status of the eSIM */
  esimStatus?: EsimStatus | null;
  /** status of its profile */
  smdpStatus?: SmdpStatus | null;
  /** data volume, MB */
  totalVolume?: number | null;
  /** data used, MB */
  dataUsage?: number | null;
  /** data left, MB */
  data_usage_remain?: number | null;
  /** validity in days */
  totalDuration?: number | null;
  durationUnit?: "DAY" | (string & {});
  /** days left until `expiredTime` */
  validity_usage_remain?: number | null;
  /** when it was activated */
  activateTime?: string | null;
  /** when its validity ends; before activation, when it must be activated */
  expiredTime?: string | null;
  /** when its usage was measured */
  lastUsageUpdate?: string | null;
  /** when it was created here */
  createdAt: string;
  /** when it last changed */
  updatedAt: string;
  /** its plans, where the provider reports them */
  plans?: PlanData[];
  /** data is unlimited: volume and remaining data are null */
  unlimited?: boolean;
  /** speed is reduced under a fair-use policy */
  throttled?: boolean;
  /** minutes */
  voice?: Allowance;
  /** text messages */
  sms?: Allowance;
  /** where it was last seen */
  location?: Location;
  /** the device in which it is installed */
  device?: Device;
  /** id of the eSIM that this one replaces */
  replaces?: string;
  /** id of the eSIM that replaces this one */
  replacedBy?: string;
  /** what was stored with the order */
  metadata?: Record<string, string>;
}

/** Business status of an eSIM, `esimStatus` on the wire (events guide, "eSIM Status Values"). */
export type EsimStatus =
  | "ACTIVATED"
  | "CANCEL"
  | "CREATED"
  | "EXPIRED"
  | "FAILED"
  | "IN_USE"
  | "PENDING"
  | "REVOKED"
  | "SUSPENDED"
  | "UNUSED_EXPIRED"
  | "USED_EXPIRED"
  | "USED_UP"
  | (string & {});

/** One field of `data` before and after the change. */
export interface FieldChange {
  old: string | number | boolean | Record<string, unknown>[] | Record<string, unknown> | null;
  new: string | number | boolean | Record<string, unknown>[] | Record<string, unknown> | null;
}

/** Where an eSIM was last seen: ISO 3166 country, network by name or MCC and MNC, and when. */
export interface Location {
  country?: string | null;
  network?: string | null;
  at?: string | null;
}

/** Whether a row is real business or a test. The two never meet. */
export type Mode =
  | "live"
  | "test"
  | (string & {});

/** One of the plans (bundles, packages) of an eSIM. Null is what no provider has reported. */
export interface PlanData {
  id: string;
  name?: string | null;
  state?: PlanState | null;
  /** MB, 1 MB = 1 048 576 bytes, 2 decimals */
  totalVolume?: number | null;
  /** MB, 1 MB = 1 048 576 bytes, 2 decimals */
  dataUsage?: number | null;
  /** MB, 1 MB = 1 048 576 bytes, 2 decimals */
  data_usage_remain?: number | null;
  activateTime?: string | null;
  expiredTime?: string | null;
}

/** State of one plan of an eSIM, `plans[].state` on the wire. */
export type PlanState =
  | "active"
  | "depleted"
  | "expired"
  | "queued"
  | "revoked"
  | (string & {});

/** Status of the profile at the SM-DP+ and on the device, `smdpStatus` on the wire (events guide). */
export type SmdpStatus =
  | "DELETED"
  | "DISABLED"
  | "DOWNLOADED"
  | "ENABLED"
  | "INSTALLED"
  | "RELEASED"
  | (string & {});

/** The volume that was added to an eSIM, and by what. */
export interface TopUp {
  transactionId?: string;
  packageCode?: string;
  /** MB, 1 MB = 1 048 576 bytes, 2 decimals */
  addedVolume: number;
}

/** The purchase is complete and the eSIM's data is ready; 5-30 seconds after the purchase. */
export interface EsimCreated {
  /** `evt_` and 26 characters; the same for every endpoint, attempt and resend */
  id: string;
  event: "esim.created";
  /** when the change happened */
  timestamp: string;
  /** the eSIM after the change */
  data: EsimData;
  /** `esimStatus` before, if it changed */
  previousStatus?: EsimStatus;
  /** `esimStatus` after, if it changed */
  newStatus?: EsimStatus;
  /** fields of `data` that changed, each with `old` and `new` */
  changes?: Record<string, FieldChange>;
  /** number of the event among those of the eSIM: 1, 2, ... */
  sequence: number;
  /** live or test */
  mode: Mode;
  /** id of the eSIM that this one replaces */
  replaces?: string;
}

/** The eSIM was activated on a device. */
export interface EsimActivated {
  /** `evt_` and 26 characters; the same for every endpoint, attempt and resend */
  id: string;
  event: "esim.activated";
  /** when the change happened */
  timestamp: string;
  /** the eSIM after the change */
  data: EsimData;
  /** `esimStatus` before, if it changed */
  previousStatus?: EsimStatus;
  /** `esimStatus` after, if it changed */
  newStatus?: EsimStatus;
  /** fields of `data` that changed, each with `old` and `new` */
  changes?: Record<string, FieldChange>;
  /** number of the event among those of the eSIM: 1, 2, ... */
  sequence: number;
  /** live or test */
  mode: Mode;
}

/** Data usage changed, or crossed one of the thresholds. */
export interface EsimDataUpdated {
  /** `evt_` and 26 characters; the same for every endpoint, attempt and resend */
  id: string;
  event: "esim.data_updated";
  /** when the change happened */
  timestamp: string;
  /** the eSIM after the change */
  data: EsimData;
  /** `esimStatus` before, if it changed */
  previousStatus?: EsimStatus;
  /** `esimStatus` after, if it changed */
  newStatus?: EsimStatus;
  /** fields of `data` that changed, each with `old` and `new` */
  changes?: Record<string, FieldChange>;
  /** number of the event among those of the eSIM: 1, 2, ... */
  sequence: number;
  /** live or test */
  mode: Mode;
  /** thresholds that were crossed, in percent of `totalVolume` */
  thresholds?: number[];
  /** the plan concerned, if the eSIM has several */
  planId?: string;
  /** the volume that was added, and by which order */
  topUp?: TopUp;
}

/** Usage and validity were refreshed, by a poll, a validity notice or a requery. */
export interface EsimUsageUpdated {
  /** `evt_` and 26 characters; the same for every endpoint, attempt and resend */
  id: string;
  event: "esim.usage_updated";
  /** when the change happened */
  timestamp: string;
  /** the eSIM after the change */
  data: EsimData;
  /** `esimStatus` before, if it changed */
  previousStatus?: EsimStatus;
  /** `esimStatus` after, if it changed */
  newStatus?: EsimStatus;
  /** fields of `data` that changed, each with `old` and `new` */
  changes?: Record<string, FieldChange>;
  /** number of the event among those of the eSIM: 1, 2, ... */
  sequence: number;
  /** live or test */
  mode: Mode;
}

/** The eSIM was suspended, its order cancelled or its profile revoked. */
export interface EsimSuspended {
  /** `evt_` and 26 characters; the same for every endpoint, attempt and resend */
  id: string;
  event: "esim.suspended";
  /** when the change happened */
  timestamp: string;
  /** the eSIM after the change */
  data: EsimData;
  /** `esimStatus` before, if it changed */
  previousStatus?: EsimStatus;
  /** `esimStatus` after, if it changed */
  newStatus?: EsimStatus;
  /** fields of `data` that changed, each with `old` and `new` */
  changes?: Record<string, FieldChange>;
  /** number of the event among those of the eSIM: 1, 2, ... */
  sequence: number;
  /** live or test */
  mode: Mode;
  /** why: a known reason, or the provider's own text */
  reason?: string;
  /** id of the eSIM that replaces this one */
  replacedBy?: string;
}

/** The validity is over, or the data is used up. */
export interface EsimExpired {
  /** `evt_` and 26 characters; the same for every endpoint, attempt and resend */
  id: string;
  event: "esim.expired";
  /** when the change happened */
  timestamp: string;
  /** the eSIM after the change */
  data: EsimData;
  /** `esimStatus` before, if it changed */
  previousStatus?: EsimStatus;
  /** `esimStatus` after, if it changed */
  newStatus?: EsimStatus;
  /** fields of `data` that changed, each with `old` and `new` */
  changes?: Record<string, FieldChange>;
  /** number of the event among those of the eSIM: 1, 2, ... */
  sequence: number;
  /** live or test */
  mode: Mode;
  /** why: a known reason, or the provider's own text */
  reason?: string;
}

/** Any other change of status, of the profile's status included. */
export interface EsimStatusChanged {
  /** `evt_` and 26 characters; the same for every endpoint, attempt and resend */
  id: string;
  event: "esim.status_changed";
  /** when the change happened */
  timestamp: string;
  /** the eSIM after the change */
  data: EsimData;
  /** `esimStatus` before, if it changed */
  previousStatus?: EsimStatus;
  /** `esimStatus` after, if it changed */
  newStatus?: EsimStatus;
  /** fields of `data` that changed, each with `old` and `new` */
  changes?: Record<string, FieldChange>;
  /** number of the event among those of the eSIM: 1, 2, ... */
  sequence: number;
  /** live or test */
  mode: Mode;
  /** why: a known reason, or the provider's own text */
  reason?: string;
}

/** The eSIM was read again from its provider on demand. */
export interface EsimRequeried {
  /** `evt_` and 26 characters; the same for every endpoint, attempt and resend */
  id: string;
  event: "esim.requeried";
  /** when the change happened */
  timestamp: string;
  /** the eSIM after the change */
  data: EsimData;
  /** `esimStatus` before, if it changed */
  previousStatus?: EsimStatus;
  /** `esimStatus` after, if it changed */
  newStatus?: EsimStatus;
  /** fields of `data` that changed, each with `old` and `new` */
  changes?: Record<string, FieldChange>;
  /** number of the event among those of the eSIM: 1, 2, ... */
  sequence: number;
  /** live or test */
  mode: Mode;
}

/** Any of the eight; `event` tells which. */
export type EsimEvent =
  | EsimCreated
  | EsimActivated
  | EsimDataUpdated
  | EsimUsageUpdated
  | EsimSuspended
  | EsimExpired
  | EsimStatusChanged
  | EsimRequeried;
