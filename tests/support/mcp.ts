import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js'
import type { Home } from './home.js'

/** `thaw mcp` of a home, and the official client at its other end. */
export async function connectMcp(home: Home) {
  const transport = new StdioClientTransport({
    command: process.execPath,
    args: [home.thaw, 'mcp'],
    cwd: home.project,
    env: home.env,
    stderr: 'pipe',
  })
  const client = new Client({ name: 'test', version: '1' })
  await client.connect(transport)
  const call = async (name: string, given: Record<string, unknown> = {}) => {
    const answer = await client.callTool({ name, arguments: given }, undefined, { timeout: 60_000 })
    const [part] = answer.content as { type: string; text: string }[]
    return { text: part?.text ?? '', isError: answer.isError === true }
  }
  return { client, call }
}
