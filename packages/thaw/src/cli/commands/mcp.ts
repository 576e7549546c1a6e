import { serveMcp } from '../../mcp/server.js'
import { ask } from '../client.js'

export async function mcp(): Promise<number> {
  await serveMcp(ask)
  return 0
}
