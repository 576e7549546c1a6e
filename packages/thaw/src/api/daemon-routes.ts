import {
  API_VERSION,
  DaemonStatus,
  Finding,
  Health,
  ListenRequest,
  SettingInForce,
  SetupQuery,
  SetupReport,
  TcpAddress,
  Version,
} from '@thaw/protocol'
import { z } from 'zod'
import { openScope, ThawError } from '../system/index.js'
import { VERSION } from '../version.js'
import type { ApiContext } from './context.js'
import type { Routes } from './server.js'
import { describeSettings, resolveSettings } from './settings.js'

const tags = ['daemon']

const SettingsQuestion = z.strictObject({
  cwd: z.string().startsWith('/'),
  env: z.record(z.string(), z.string()),
})

export function daemonRoutes(app: Routes, context: ApiContext): void {
  app.get(
    '/healthz',
    {
      config: { scope: 'public' },
      schema: {
        operationId: 'getHealth',
        tags,
        summary: 'Whether the daemon answers',
        response: { 200: Health },
      },
    },
    () => ({
      ok: true as const,
      pid: process.pid,
      uptime_seconds: process.uptime(),
    }),
  )

  app.get(
    '/version',
    {
      config: { scope: 'public' },
      schema: {
        operationId: 'getVersion',
        tags,
        summary: 'Versions of daemon and API',
        response: { 200: Version },
      },
    },
    () => ({
      version: VERSION,
      api: API_VERSION,
    }),
  )

  app.get(
    '/v1/daemon',
    {
      schema: {
        operationId: 'getDaemon',
        tags,
        summary: 'What the daemon is doing',
        response: { 200: DaemonStatus },
      },
    },
    () => ({
      pid: process.pid,
      version: VERSION,
      uptime_seconds: process.uptime(),
      socket: context.paths.socket,
      state: context.paths.state,
      log: context.paths.log,
      tcp: context.tcp.address,
      live: context.runs.live() + context.products.instances.live(),
      busy: context.runs.busy(),
      idle_exit_seconds: context.idle.secondsLeft(),
      memory_bytes: context.runs.memory(),
    }),
  )

  app.post(
    '/v1/daemon/stop',
    {
      config: { scope: 'admin' },
      schema: {
        operationId: 'stopDaemon',
        tags,
        summary:
          'End the daemon with all parked checkpoints; refused while commands or instances run, unless forced',
        body: z.strictObject({ force: z.boolean().default(false) }),
        response: { 202: z.object({ pid: z.number().int() }) },
      },
    },
    async (request, reply) => {
      const runs = context.runs.live()
      const instances = context.products.instances.live()
      if (runs + instances > 0 && !request.body.force) {
        const said = [count(runs, 'command'), count(instances, 'instance')].filter((part) => part !== null)
        const verb = runs + instances === 1 ? 'is' : 'are'
        throw new ThawError('RUN_BUSY', `${said.join(' and ')} ${verb} still running.`, {
          hint: 'Wait, or pass --force to end them too.',
        })
      }
      reply.raw.once('close', () => context.stop())
      reply.status(202)
      return { pid: process.pid }
    },
  )

  app.put(
    '/v1/daemon/tcp',
    {
      config: { scope: 'admin' },
      schema: {
        tags,
        operationId: 'listenOnTcp',
        summary: 'Listen on a TCP address as well; without tokens only on a loopback one',
        body: ListenRequest,
        response: { 200: TcpAddress },
      },
    },
    (request) => context.tcp.open(request.body),
  )

  app.get(
    '/v1/doctor',
    {
      schema: {
        operationId: 'getDoctor',
        tags,
        summary: 'What works on this machine, and how to get the rest',
        response: { 200: z.object({ findings: z.array(Finding) }) },
      },
    },
    async () => ({
      findings: [
        ...(await context.runs.doctor()),
        ...(await context.engines.findings(openScope(context.log))),
      ],
    }),
  )

  app.post(
    '/v1/setup',
    {
      config: { scope: 'admin' },
      schema: {
        operationId: 'setUpEngines',
        tags,
        summary: 'Fetch what engines lack on this machine; nothing of the system is changed',
        querystring: SetupQuery,
        response: { 200: SetupReport },
      },
    },
    async (request) => await context.engines.setup(request.query.engine, openScope(context.log)),
  )

  app.post(
    '/v1/settings',
    {
      config: { scope: 'read' },
      schema: {
        operationId: 'resolveSettings',
        tags,
        summary: 'The settings in force for a directory and an environment, and where each comes from',
        body: SettingsQuestion,
        response: { 200: z.object({ settings: z.array(SettingInForce) }) },
      },
    },
    (request) => ({
      settings: describeSettings(
        resolveSettings({ cwd: request.body.cwd, env: request.body.env, userFile: context.paths.settings }),
      ),
    }),
  )
}

function count(number: number, what: string): string | null {
  return number === 0 ? null : `${number} ${what}${number === 1 ? '' : 's'}`
}
