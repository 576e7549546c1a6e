/** Who may call the daemon over TCP, and what they may do. */
import { z } from 'zod'
import { Duration } from './settings.js'

/** `read`: look at everything. `run`: also start, stop and remove, which is to say any command. `admin`: also the daemon and its tokens. */
export const Scope = z.enum(['read', 'run', 'admin'])
export type Scope = z.infer<typeof Scope>

export const TokenRequest = z.strictObject({
  name: z.string().trim().min(1).max(100).describe('Who or what it is for.'),
  scope: Scope.default('run'),
  expires_in: Duration.pipe(z.number().positive().max(3.2e9))
    .nullable()
    .default(null)
    .describe('Seconds until it ends, or text such as `30d`; null: never.'),
})
export type TokenRequest = z.output<typeof TokenRequest>
export type TokenRequestInput = z.input<typeof TokenRequest>

export const Token = z
  .object({
    id: z.string(),
    name: z.string(),
    scope: Scope,
    created_at: z.string(),
    expires_at: z.string().nullable(),
  })
  .meta({ id: 'Token' })
export type Token = z.infer<typeof Token>

export const NewToken = Token.extend({
  token: z.string().describe('The token itself. It is not kept, and not shown again.'),
}).meta({ id: 'NewToken' })
export type NewToken = z.infer<typeof NewToken>

export const TokenList = z.object({ tokens: z.array(Token) })
export type TokenList = z.infer<typeof TokenList>

export const TcpAddress = z
  .object({
    host: z.string(),
    port: z.number().int(),
    tokens: z.boolean().describe('Whether callers need a token.'),
  })
  .meta({ id: 'TcpAddress' })
export type TcpAddress = z.infer<typeof TcpAddress>

export const ListenRequest = z.strictObject({
  host: z.string().min(1).max(255).describe('An IP address, or localhost.'),
  port: z.number().int().min(0).max(65_535).describe('0: any that is free.'),
  tokens: z.boolean().default(true).describe('False: whoever can connect may do everything.'),
})
export type ListenRequest = z.output<typeof ListenRequest>
