/**
 * The CRM vendor's SDK, as vendors write them: promises, exceptions, an
 * `AbortSignal`, names of its own. It knows nothing of Effect.
 */

export interface CrmAccount {
  readonly object: "account"
  readonly id: string
  readonly name: string
  readonly owner: string
  readonly segment: "enterprise" | "mid-market" | "small-business"
}

export interface CrmResponse<T> {
  readonly requestId: string
  readonly data: T
}

export interface CrmRequestOptions {
  readonly signal?: AbortSignal
}

export type CrmErrorCode = "account_missing" | "bad_request" | "unavailable" | "connection" | "unexpected"

export class CrmError extends Error {
  override readonly name = "CrmError"
  readonly code: CrmErrorCode
  readonly status: number | undefined
  readonly requestId: string | undefined
  readonly retryAfterSeconds: number | undefined

  constructor(
    message: string,
    options: {
      readonly code: CrmErrorCode
      readonly status?: number | undefined
      readonly requestId?: string | undefined
      readonly retryAfterSeconds?: number | undefined
      readonly cause?: unknown
    }
  ) {
    super(message, { cause: options.cause })
    this.code = options.code
    this.status = options.status
    this.requestId = options.requestId
    this.retryAfterSeconds = options.retryAfterSeconds
  }
}

export class CrmClient {
  readonly accounts: {
    readonly retrieve: (id: string, options?: CrmRequestOptions) => Promise<CrmResponse<CrmAccount>>
  }

  constructor({ baseUrl }: { readonly baseUrl: string }) {
    this.accounts = {
      retrieve: async (id, options = {}) => {
        const response = await request(`${baseUrl}/v2/accounts/${encodeURIComponent(id)}`, options)
        const { data, request_id } = (await response.json()) as { data: CrmAccount; request_id: string }
        return { data, requestId: request_id }
      }
    }
  }
}

const request = async (url: string, { signal }: CrmRequestOptions): Promise<Response> => {
  const response = await fetch(url, { signal: signal ?? null }).catch((cause: unknown) => {
    throw new CrmError("Could not reach the CRM", { code: "connection", cause })
  })
  if (response.ok) return response
  const body = (await response.json().catch(() => ({}))) as { error?: { code?: string; request_id?: string } }
  const retryAfter = Number(response.headers.get("retry-after") ?? NaN)
  throw new CrmError(`The CRM answered ${response.status}`, {
    code: response.status === 404
      ? "account_missing"
      : response.status === 503
      ? "unavailable"
      : response.status === 400
      ? "bad_request"
      : "unexpected",
    status: response.status,
    requestId: body.error?.request_id,
    retryAfterSeconds: Number.isNaN(retryAfter) ? undefined : retryAfter
  })
}
