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
  id: string;
  transactionId: string;
  orderNo?: string | null;
  esimTranNo?: string | null;
  packageCode?: string | null;
  packageName?: string | null;
  /** 18-20 digits, never a number */
  iccid?: string | null;
  imsi?: string | null;
  msisdn?: string | null;
  eid?: string | null;
  ac?: string | null;
  qrCodeUrl?: string | null;
  shortUrl?: string | null;
  apn?: string | null;
  esimStatus?: EsimStatus | null;
  smdpStatus?: SmdpStatus | null;
  /** MB, 1 MB = 1 048 576 bytes, 2 decimals */
  totalVolume?: number | null;
  /** MB, 1 MB = 1 048 576 bytes, 2 decimals */
  dataUsage?: number | null;
  /** MB, 1 MB = 1 048 576 bytes, 2 decimals */
  data_usage_remain?: number | null;
  totalDuration?: number | null;
  durationUnit?: "DAY" | (string & {});
  validity_usage_remain?: number | null;
  activateTime?: string | null;
  expiredTime?: string | null;
  lastUsageUpdate?: string | null;
  createdAt: string;
  updatedAt: string;
  plans?: PlanData[];
  /** without a limit of data: the volume and what remains are null */
  unlimited?: boolean;
  /** slowed down by a fair-use rule */
  throttled?: boolean;
  voice?: Allowance;
  sms?: Allowance;
  location?: Location;
  device?: Device;
  /** id of the eSIM that this one replaces */
  replaces?: string;
  /** id of the eSIM that replaces this one */
  replacedBy?: string;
  /** what the operator put on the order */
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

/** One of the plans (bundles, packages) of an eSIM. What no provider has reported is null. */
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
  /** TypeID; the same for every endpoint, attempt and resend */
  id: string;
  event: "esim.created";
  /** when the change happened */
  timestamp: string;
  data: EsimData;
  previousStatus?: EsimStatus;
  newStatus?: EsimStatus;
  changes?: Record<string, FieldChange>;
  /** grows by one per eSIM and event */
  sequence: number;
  mode: Mode;
  /** id of the eSIM that this one replaces */
  replaces?: string;
}

/** The eSIM was activated on a device. */
export interface EsimActivated {
  /** TypeID; the same for every endpoint, attempt and resend */
  id: string;
  event: "esim.activated";
  /** when the change happened */
  timestamp: string;
  data: EsimData;
  previousStatus?: EsimStatus;
  newStatus?: EsimStatus;
  changes?: Record<string, FieldChange>;
  /** grows by one per eSIM and event */
  sequence: number;
  mode: Mode;
}

/** Data usage changed, or crossed one of the thresholds. */
export interface EsimDataUpdated {
  /** TypeID; the same for every endpoint, attempt and resend */
  id: string;
  event: "esim.data_updated";
  /** when the change happened */
  timestamp: string;
  data: EsimData;
  previousStatus?: EsimStatus;
  newStatus?: EsimStatus;
  changes?: Record<string, FieldChange>;
  /** grows by one per eSIM and event */
  sequence: number;
  mode: Mode;
  /** percent of totalVolume crossed */
  thresholds?: number[];
  /** the plan that this is about, where the eSIM has several */
  planId?: string;
  topUp?: TopUp;
}

/** Usage and validity were refreshed, by a poll, a validity notice or a requery. */
export interface EsimUsageUpdated {
  /** TypeID; the same for every endpoint, attempt and resend */
  id: string;
  event: "esim.usage_updated";
  /** when the change happened */
  timestamp: string;
  data: EsimData;
  previousStatus?: EsimStatus;
  newStatus?: EsimStatus;
  changes?: Record<string, FieldChange>;
  /** grows by one per eSIM and event */
  sequence: number;
  mode: Mode;
}

/** The eSIM was suspended, its order cancelled or its profile revoked. */
export interface EsimSuspended {
  /** TypeID; the same for every endpoint, attempt and resend */
  id: string;
  event: "esim.suspended";
  /** when the change happened */
  timestamp: string;
  data: EsimData;
  previousStatus?: EsimStatus;
  newStatus?: EsimStatus;
  changes?: Record<string, FieldChange>;
  /** grows by one per eSIM and event */
  sequence: number;
  mode: Mode;
  reason?: string;
  /** id of the eSIM that replaces this one */
  replacedBy?: string;
}

/** The validity is over, or the data is used up. */
export interface EsimExpired {
  /** TypeID; the same for every endpoint, attempt and resend */
  id: string;
  event: "esim.expired";
  /** when the change happened */
  timestamp: string;
  data: EsimData;
  previousStatus?: EsimStatus;
  newStatus?: EsimStatus;
  changes?: Record<string, FieldChange>;
  /** grows by one per eSIM and event */
  sequence: number;
  mode: Mode;
  reason?: string;
}

/** Any other change of status, of the profile's status included. */
export interface EsimStatusChanged {
  /** TypeID; the same for every endpoint, attempt and resend */
  id: string;
  event: "esim.status_changed";
  /** when the change happened */
  timestamp: string;
  data: EsimData;
  previousStatus?: EsimStatus;
  newStatus?: EsimStatus;
  changes?: Record<string, FieldChange>;
  /** grows by one per eSIM and event */
  sequence: number;
  mode: Mode;
  reason?: string;
}

/** The eSIM was read again from its provider on demand. */
export interface EsimRequeried {
  /** TypeID; the same for every endpoint, attempt and resend */
  id: string;
  event: "esim.requeried";
  /** when the change happened */
  timestamp: string;
  data: EsimData;
  previousStatus?: EsimStatus;
  newStatus?: EsimStatus;
  changes?: Record<string, FieldChange>;
  /** grows by one per eSIM and event */
  sequence: number;
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
