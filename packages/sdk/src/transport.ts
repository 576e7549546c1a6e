/** How a client reaches a daemon. */
export interface Transport {
  /** @throws ThawError DAEMON_UNREACHABLE */
  request(
    method: 'GET' | 'POST' | 'DELETE',
    path: string,
    body?: unknown,
  ): Promise<{ status: number; body: unknown }>
  /** The body of a GET as it arrives. */
  bytes(path: string): AsyncIterable<Uint8Array>
}
