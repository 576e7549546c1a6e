import { join } from 'node:path'

import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js'
import { NodeClient } from '@thaw/sdk/node'

import { median, now } from '../measure.mjs'
import { edit } from '../workbench.mjs'

export const name = 'first output, MCP'
export const what =
  'edit to the answer of the MCP tool run, beyond the end of the same run through the SDK, 50 MB'
export const target = 15
export const unit = 'ms'

export async function measure(bench, rounds) {
  const project = bench.project('heap.py')
  const file = join(project, 'heap.py')
  await bench.thaw(project, ['heap.py'], { outcome: 'cold' })
  const sdk = new NodeClient(bench.query('daemon', 'status').socket)
  const mcp = new Client({ name: 'bench', version: '1' })
  const command = [bench.python, 'heap.py']
  await mcp.connect(
    new StdioClientTransport({
      command: process.execPath,
      args: [bench.bin, 'mcp'],
      cwd: project,
      env: bench.env,
      stderr: 'ignore',
    }),
  )
  const ways = {
    mcp: async () => {
      const answer = await mcp.callTool({ name: 'run', arguments: { command: command.join(' ') } })
      return answer.content[0].text
    },
    sdk: async () => {
      let text = ''
      const onStdout = (chunk) => void (text += Buffer.from(chunk))
      const { summary } = await sdk.run(command, { cwd: project, env: bench.env, onStdout })
      return `${summary}\n${text}`
    },
  }
  const samples = { mcp: [], sdk: [] }
  let edition = 0
  try {
    for (let round = -1; round < 5 * rounds; round++) {
      for (const way of round % 2 === 0 ? ['mcp', 'sdk'] : ['sdk', 'mcp']) {
        edit(file, `, ${edition}, flush`, `, ${++edition}, flush`)
        const started = now()
        const answer = await ways[way]()
        const took = now() - started
        if (!answer.startsWith('resumed ') || !`${answer}\n`.includes(`late 150000 ${edition}\n`))
          throw new Error(answer)
        if (round >= 0) samples[way].push(took)
      }
    }
  } finally {
    await mcp.close()
  }
  const [whole, run] = [median(samples.mcp), median(samples.sdk)]
  return {
    value: 1000 * (whole - run),
    samples: { mcp: samples.mcp, sdk: samples.sdk },
    note: `edit to answer ${(1000 * whole).toFixed(0)} ms, edit to the end of the run through the SDK ${(1000 * run).toFixed(0)} ms`,
  }
}
