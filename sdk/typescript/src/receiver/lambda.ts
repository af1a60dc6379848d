// The receiver for AWS Lambda behind API Gateway (REST and HTTP APIs), an Application Load Balancer or a function URL.

import type { HeadersLike } from "../headers.js";
import type { Answer, Intake } from "./intake.js";

/** What those four have in common of their events. */
export interface LambdaRequest {
  readonly body?: string | null;
  readonly isBase64Encoded?: boolean;
  readonly headers?: Readonly<Record<string, string | undefined>> | null;
  readonly multiValueHeaders?: Readonly<Record<string, readonly string[] | undefined>> | null;
  /** REST APIs and load balancers. */
  readonly httpMethod?: string;
  /** HTTP APIs and function URLs. */
  readonly requestContext?: { readonly http?: { readonly method?: string } };
}

export interface LambdaResponse {
  readonly statusCode: number;
  readonly headers: Record<string, string>;
  readonly multiValueHeaders: Record<string, string[]>;
  readonly body: string;
  readonly isBase64Encoded: false;
}

/** Answer one request. */
export async function serve(request: LambdaRequest, intake: Intake, take: Intake["take"]): Promise<LambdaResponse> {
  const early = intake.refuseUnread(request.httpMethod ?? request.requestContext?.http?.method, undefined);
  if (early) return responseOf(early);
  const body = Buffer.from(request.body ?? "", request.isBase64Encoded ? "base64" : "utf8");
  return responseOf(await take(body, headersOf(request)));
}

/** Return the headers with all their values, where the event has these; some give an empty object beside `headers`. */
function headersOf({ headers, multiValueHeaders }: LambdaRequest): HeadersLike {
  const several = multiValueHeaders && Object.keys(multiValueHeaders).length > 0 ? multiValueHeaders : undefined;
  return (several ?? headers ?? {}) as HeadersLike;
}

function responseOf(answer: Answer): LambdaResponse {
  return {
    statusCode: answer.status,
    headers: { ...answer.headers },
    multiValueHeaders: Object.fromEntries(Object.entries(answer.headers).map(([name, value]) => [name, [value]])),
    body: answer.body,
    isBase64Encoded: false,
  };
}
