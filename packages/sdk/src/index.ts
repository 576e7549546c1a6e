export { Client } from './client.js'
export { fetchTransport } from './fetch-transport.js'
export type { Transport } from './transport.js'
export { ThawError, type ErrorCode } from '@thaw/protocol'
