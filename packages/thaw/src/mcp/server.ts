/** The tools over the Model Context Protocol, on stdin and stdout. */
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js'
import type { CallToolResult } from '@modelcontextprotocol/sdk/types.js'
import { ThawError } from '@thaw/protocol/errors'
import { z } from 'zod'
import { VERSION } from '../version.js'
import { OUTPUT, Tools, type Ask } from './tools.js'

const INSTRUCTIONS = `thaw runs a command once and, after an edit, only what the edit changed; results equal a cold run.
Use run instead of a shell for programs and tests that you run again and again. Ids may be shortened; \`last\` is the run used last.
Instances are programs in sandboxes of their own, made of images, snapshots or pools.`

const waiting = {
  wait_seconds: z
    .number()
    .min(0)
    .max(600)
    .default(45)
    .describe('then answers with what there is; it goes on'),
  max_output: z.number().int().min(200).max(100_000).default(OUTPUT).describe('bytes of output shown'),
}
const stop_at = z
  .array(z.string())
  .max(64)
  .default([])
  .describe('places to stop at with a checkpoint: app.py:func, app.py:42, pkg.mod:Class.method, each with #N')
const run = z.string().min(1).default('last').describe('run id')

/** Serves until stdin ends. */
export async function serveMcp(ask: Ask): Promise<void> {
  const server = new McpServer({ name: 'thaw', version: VERSION }, { instructions: INSTRUCTIONS })
  const tools = new Tools(ask)
  const looks = { annotations: { readOnlyHint: true, openWorldHint: false } }

  server.registerTool(
    'run',
    {
      description:
        'Run a command; after an edit only what the edit changed. Output, exit code, where it went on.',
      inputSchema: {
        command: z.string().min(1).describe('as in a shell'),
        cwd: z.string().optional().describe('directory; default: where this server runs'),
        env: z.record(z.string(), z.string()).optional().describe('variables to add'),
        stdin: z.string().optional(),
        fresh: z.boolean().default(false).describe('from the start'),
        effects: z
          .enum(['redo', 'keep'])
          .optional()
          .describe('keep: network, children and writes elsewhere are not done again'),
        stop_at,
        stop_on_output: z
          .string()
          .optional()
          .describe('any program: stop when it prints what this regex matches'),
        stop_on_listen: z
          .number()
          .int()
          .optional()
          .describe('any program: stop when it listens on this port'),
        ...waiting,
      },
    },
    (given, { signal }) => answer(() => tools.run(given, signal)),
  )
  server.registerTool(
    'wait',
    {
      description: 'Wait for a run or resume that was still running.',
      inputSchema: { operation: z.string().min(1), ...waiting },
      ...looks,
    },
    (given, { signal }) => answer(() => tools.wait(given, signal)),
  )
  server.registerTool(
    'list',
    {
      description: 'List what there is, the latest first.',
      inputSchema: {
        what: z.enum(['runs', 'instances', 'images', 'snapshots', 'pools']).default('runs'),
      },
      ...looks,
    },
    ({ what }) => answer(() => tools.list(what)),
  )
  server.registerTool(
    'checkpoints',
    {
      description: 'List the points of a run from which it can be resumed.',
      inputSchema: { run, all: z.boolean().default(false).describe('also those that are gone') },
      ...looks,
    },
    (given) => answer(() => tools.checkpoints(given)),
  )
  server.registerTool(
    'resume',
    {
      description:
        'Go on from a checkpoint with the code as it is now, in one or many branches; their differences are shown.',
      inputSchema: {
        checkpoint: z.string().min(1).describe('id, name, or `last` for the last stop'),
        count: z.number().int().min(1).max(256).default(1).describe('branches'),
        mode: z
          .enum(['exact', 'hot'])
          .default('exact')
          .describe(
            'exact: refused when an edit reaches back before it; hot: keeps the state whatever the edit',
          ),
        stop_at,
        ...waiting,
      },
    },
    (given, { signal }) => answer(() => tools.resume(given, signal)),
  )
  server.registerTool(
    'logs',
    {
      description: 'What a run, branch or instance printed: all of it, its ends, or the lines that match.',
      inputSchema: {
        id: z.string().min(1).default('last').describe('run, branch or instance'),
        stream: z.enum(['stdout', 'stderr', 'both']).default('both'),
        match: z.string().optional().describe('regular expression; only such lines, numbered'),
        max_output: waiting.max_output,
      },
      ...looks,
    },
    (given) => answer(() => tools.logs(given)),
  )
  server.registerTool(
    'compare',
    {
      description: 'Diff of what two branches (or the last branches of two runs) printed, and their exits.',
      inputSchema: { a: z.string().min(1), b: z.string().min(1), max_output: waiting.max_output },
      ...looks,
    },
    (given) => answer(() => tools.compare(given)),
  )
  server.registerTool(
    'explain',
    {
      description:
        'Why a run or instance began as it did: cold or from where, what changed, why nothing faster, what helps.',
      inputSchema: { id: z.string().min(1).default('last').describe('run or instance') },
      ...looks,
    },
    (given) => answer(() => tools.explain(given)),
  )
  server.registerTool(
    'stop',
    {
      description: 'End a run, branch or operation; end and forget an instance, snapshot or pool.',
      inputSchema: { id: z.string().min(1) },
    },
    (given) => answer(() => tools.stop(given)),
  )

  server.registerTool(
    'create',
    {
      description:
        'Make instances (programs in sandboxes of their own), by the fastest way there is, ready when it answers. Exactly one source.',
      inputSchema: {
        image: z.string().optional(),
        snapshot: z.string().optional(),
        pool: z.string().optional(),
        instance: z.string().optional().describe('clones of this one as it is now'),
        name: z.string().optional(),
        count: z.number().int().min(1).max(64).default(1),
        env: z.record(z.string(), z.string()).optional().describe('then it is started, not restored'),
        ports: z.array(z.number().int()).max(64).optional().describe('of it, to be reached on 127.0.0.1'),
        ttl: z.string().optional().describe('as 30m; then it is deleted'),
      },
    },
    (given, { signal }) => answer(() => tools.instances.create(given, signal)),
  )
  server.registerTool(
    'exec',
    {
      description: 'Run a command in an instance: output and exit code.',
      inputSchema: {
        instance: z.string().min(1),
        command: z.string().min(1).describe('as in a shell'),
        input: z.string().optional().describe('stdin'),
        cwd: z.string().optional(),
        user: z.string().optional(),
        max_output: waiting.max_output,
        wait_seconds: z.number().min(1).max(600).default(45).describe('then it is ended'),
      },
    },
    (given, { signal }) => answer(() => tools.instances.exec(given, signal)),
  )
  server.registerTool(
    'keep',
    {
      description:
        'Start an image once and keep it as a snapshot: its instances are then restored. With pool_size so many stand ready.',
      inputSchema: {
        image: z.string().min(1),
        name: z.string().optional(),
        prepare: z.string().optional().describe('shell command run in it before it is kept'),
        pool_size: z.number().int().min(1).max(20).optional(),
      },
    },
    (given) => answer(() => tools.instances.keep(given)),
  )

  const transport = new StdioServerTransport()
  const ended = new Promise<void>((resolve) => {
    process.stdin.once('end', resolve)
    process.stdin.once('close', resolve)
  })
  await server.connect(transport)
  await ended
  await server.close()
}

async function answer(work: () => Promise<string>): Promise<CallToolResult> {
  try {
    return { content: [{ type: 'text', text: await work() }] }
  } catch (error) {
    const { code, message, hint } = ThawError.from(error)
    return { isError: true, content: [{ type: 'text', text: `${code}: ${message} ${forTools(hint)}` }] }
  }
}

/** Hints speak of the command line; its verbs are tools here. */
function forTools(hint: string): string {
  return hint
    .replace(/--hot\b/, 'mode hot')
    .replace(/--effects keep/, 'effects keep')
    .replace('`thaw ls`', 'The tool list')
    .replace(/`thaw (image|instance|snapshot|pool) ls`/, 'The tool list ($1s)')
    .replace('`thaw instance logs`', 'the tool logs')
    .replace('`thaw instance show`', 'The tool explain')
    .replace(/`thaw run`/, 'the tool run')
}
