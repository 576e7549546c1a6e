import { serveMcp } from '../../mcp/server.js'
import { askSameBuild } from '../client.js'

export async function mcp(): Promise<number> {
  await serveMcp(askSameBuild)
  return 0
}
