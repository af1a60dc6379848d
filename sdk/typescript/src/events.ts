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

/** State of one eSIM as merchants see it. What no provider has told is null. */
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
  old: string | number | null;
  new: string | number | null;
}

/** Whether a row is real business or a test. The two never meet. */
export type Mode =
  | "live"
  | "test"
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
