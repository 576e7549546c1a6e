import type { Connection } from './frame-stream.js'

export type Method = 'GET' | 'POST' | 'PUT' | 'DELETE'

export interface RequestOptions {
  body?: unknown
  /** Bytes in the place of a body. */
  content?: AsyncIterable<Uint8Array> | Blob
  headers?: Record<string, string>
  /** Gives the request up; what it has begun goes on. */
  signal?: AbortSignal
}

/** How a client reaches a daemon. */
export interface Transport {
  /** @throws ThawError DAEMON_UNREACHABLE; CANCELLED when `signal` was aborted */
  request(method: Method, path: string, options?: RequestOptions): Promise<{ status: number; body: unknown }>
  /**
   * The body of an answer as it arrives; of a GET, unless another method is given.
   *
   * @throws ThawError as `request`, DAEMON_LOST when it ends early, and what the daemon answers
   */
  bytes(path: string, options?: RequestOptions & { method?: Method }): AsyncIterable<Uint8Array>
  /**
   * A stream's connection, below a path that ends in /stream.
   *
   * @throws ThawError as `request`, UNSUPPORTED where there is no WebSocket, and what the daemon answers
   */
  connect(path: string): Promise<Connection>
}
