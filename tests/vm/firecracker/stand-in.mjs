#!/usr/bin/env node
// Answers on a unix socket as Firecracker's API does, and runs no machine: what thaw's tests have where there is no KVM.
// Each request's method, path and body are checked against interface.json, unknown properties included, since
// Firecracker refuses those. Beyond that it knows the states of a machine, that paths are its own, that a snapshot
// loads only where drives, memory and a free vsock path are found, and that a load that fails ends it.
// Its "guest" has an echo on port 1024, which greets with `guest MEMORY DISK`: what is in the memory that it was loaded
// from, and on its disk, so that a test can tell which machine it talks to.
//
// STAND_IN: what it does wrong, as `METHOD PATH=WHAT` with WHAT one of die, hang, malformed, refuse, or
// `socket=WHAT` with WHAT one of never, die.
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { createServer as createSocket } from 'node:net'
import { Ajv } from 'ajv'

const VERSION = process.env.VERSION
const SNAPSHOT_VERSION = process.env.SNAPSHOT_VERSION
const description = JSON.parse(readFileSync(new URL('interface.json', import.meta.url), 'utf8'))
const [faultAt, fault] = (process.env.STAND_IN ?? '').split('=')

const option = (name) => {
  const at = process.argv.indexOf(`--${name}`)
  return at < 0 ? undefined : (process.argv[at + 1] ?? '')
}
const validate = validators(description)
const machine = {
  state: 'Not started',
  drives: {},
  cards: {},
  boot: null,
  vsock: null,
  memory: 128,
  content: 'fresh',
}

if (faultAt === 'socket' && fault === 'die') {
  console.error('Error: the stand-in was told to fail')
  process.exit(1)
}
const server = createServer((request, response) => {
  const parts = []
  request.on('data', (part) => parts.push(part))
  request.on('end', () => void answer(request, Buffer.concat(parts).toString(), response))
})
if (faultAt !== 'socket') server.listen(option('api-sock'))
else setInterval(() => {}, 1000)

async function answer({ method, url, headers }, text, response) {
  const send = (status, body) => {
    if (body === undefined) return response.writeHead(status, { server: 'Firecracker API' }).end()
    const bytes = typeof body === 'string' ? body : JSON.stringify(body)
    response.writeHead(status, {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(bytes),
    })
    response.end(bytes)
  }
  const refuse = (why) => send(400, { fault_message: why })
  if (faultAt === `${method} ${url}`) {
    if (fault === 'die') return die('the stand-in was told to die')
    if (fault === 'hang') return
    if (fault === 'malformed') return send(200, '{"not": "what was asked"')
    if (fault === 'refuse') return refuse('the stand-in was told to refuse')
  }
  if (headers['transfer-encoding'] !== undefined) return refuse('chunked bodies are not read')
  const { problem, name, body } = validate(method, url, text)
  if (problem !== null) return refuse(problem)
  try {
    const told = await ACTIONS[name](body, url)
    return told === undefined ? send(204) : send(200, told)
  } catch (error) {
    refuse(error.message)
    if (name === 'loadSnapshot') response.once('finish', () => die(`Load snapshot error: ${error.message}`))
  }
}

function die(why) {
  console.error(`Firecracker exiting with error: ${why}`)
  process.exit(1)
}

/** @returns what is wrong with a request, or what it asks for */
function validators({ paths, definitions }) {
  const strict = Object.fromEntries(
    Object.entries(definitions).map(([name, schema]) => [
      name,
      schema.type === 'object' ? { ...schema, additionalProperties: false } : schema,
    ]),
  )
  const ajv = new Ajv({ strict: false, validateFormats: false })
  const routes = Object.entries(paths).map(([path, methods]) => ({
    pattern: new RegExp(`^${path.replace(/\{\w+\}/g, '([^/]+)')}$`),
    ids: [...path.matchAll(/\{(\w+)\}/g)].map(([, id]) => id),
    methods: Object.fromEntries(
      Object.entries(methods).map(([method, { operationId, parameters = [] }]) => {
        const body = parameters.find((one) => one.in === 'body')
        const schema = body && { ...body.schema, definitions: strict }
        return [method.toUpperCase(), { operationId, body, schema }]
      }),
    ),
  }))
  return (method, url, text) => {
    const bad = (problem) => ({ problem })
    const route = routes.find(({ pattern }) => pattern.test(url))
    const operation = route?.methods[method]
    if (operation === undefined) return bad(`Invalid request method and/or path: ${method} ${url}.`)
    const { operationId: name, body: wanted, schema } = operation
    if (wanted === undefined) {
      return text === '' ? { problem: null, name } : bad(`${method} request cannot have a body.`)
    }
    if (text === '') return bad('Empty request.')
    let body
    try {
      body = JSON.parse(text)
    } catch (error) {
      return bad(`An error occurred when deserializing the json body of a request: ${error.message}.`)
    }
    // Compiled when it is asked for: a test waits for this process to start.
    const check = (operation.check ??= ajv.compile(schema))
    if (!check(body)) return bad(ajv.errorsText(check.errors))
    const values = route.pattern.exec(url).slice(1)
    const other = route.ids.findIndex((id, at) => body[id] !== decodeURIComponent(values[at]))
    if (other >= 0) return bad('The id from the path does not match the id from the body!')
    return { problem: null, name, body }
  }
}

function before() {
  if (machine.state !== 'Not started')
    throw new Error('The requested operation is not supported after starting the microVM.')
}
function after() {
  if (machine.state === 'Not started')
    throw new Error('The requested operation is not supported before starting the microVM.')
}
/** Of the network namespace that it is in, which /sys may not be of. */
function foundDevice(name) {
  if (!readFileSync('/proc/self/net/dev', 'utf8').includes(`${name}:`))
    throw new Error(`Open tap device failed: ${name}`)
}
function found(path, what) {
  if (!existsSync(path)) throw new Error(`${what}: ${path}: No such file or directory (os error 2)`)
}

function listen(path) {
  return new Promise((resolve, reject) => {
    const guest = createSocket((stream) => {
      stream.on('error', () => {})
      stream.once('data', (greeting) => {
        const port = /^CONNECT (\d+)\n/.exec(greeting.toString())?.[1]
        if (port !== '1024' || machine.state !== 'Running') return stream.destroy()
        const disk = readFileSync(Object.values(machine.drives)[0].path_on_host, 'utf8')
        stream.write(`OK 1073741824\nguest ${machine.content} ${disk}\n`)
        stream.pipe(stream)
      })
    })
    guest.once('error', (error) =>
      reject(new Error(`Error binding to the host-side Unix socket: ${error.code}`)),
    )
    guest.listen(path, resolve)
  })
}

const ACTIONS = {
  describeInstance: () => ({
    app_name: 'Firecracker',
    id: option('id') ?? 'anonymous-instance',
    state: machine.state,
    vmm_version: VERSION,
  }),
  getFirecrackerVersion: () => ({ firecracker_version: VERSION }),
  putMachineConfiguration: (body) => {
    before()
    if (body.vcpu_count > 1 && body.smt && body.vcpu_count % 2 === 1)
      throw new Error('The vCPU number is invalid!')
    machine.memory = body.mem_size_mib
  },
  putGuestBootSource: (body) => {
    before()
    found(body.kernel_image_path, 'The kernel file cannot be opened')
    if (body.initrd_path !== undefined) found(body.initrd_path, 'The initrd file cannot be opened')
    machine.boot = body
  },
  putGuestDriveByID: (body) => {
    before()
    if (body.path_on_host === undefined || body.is_read_only === undefined) {
      throw new Error('Missing fields of a virtio-block device')
    }
    found(body.path_on_host, 'Unable to open the backing file')
    machine.drives[body.drive_id] = body
  },
  putGuestNetworkInterfaceByID: (body) => {
    before()
    foundDevice(body.host_dev_name)
    machine.cards[body.iface_id] = body
  },
  putEntropyDevice: before,
  putGuestVsock: (body) => {
    before()
    machine.vsock = body
  },
  createSyncAction: async ({ action_type: action }) => {
    if (action !== 'InstanceStart') {
      after()
      if (action === 'SendCtrlAltDel') setTimeout(() => process.exit(0), 50)
      return
    }
    before()
    if (machine.boot === null) throw new Error('Cannot start microvm without kernel configuration.')
    if (machine.vsock !== null) await listen(machine.vsock.uds_path)
    machine.state = 'Running'
    console.log('the guest boots')
  },
  patchVm: ({ state }) => {
    after()
    machine.state = state === 'Paused' ? 'Paused' : 'Running'
  },
  createSnapshot: ({ snapshot_path: state, mem_file_path: memory }) => {
    after()
    if (machine.state !== 'Paused') throw new Error('Cannot save the microVM state while it runs')
    const { drives, cards, vsock, memory: size } = machine
    writeFileSync(memory, `${machine.content}+`)
    if (faultAt === 'halfway') {
      writeFileSync(state, '{')
      if (fault === 'die') die('the stand-in was told to die halfway')
      throw new Error('Cannot write the state: No space left on device (os error 28)')
    }
    writeFileSync(state, JSON.stringify({ version: SNAPSHOT_VERSION, drives, cards, vsock, memory: size }))
  },
  loadSnapshot: async (body) => {
    if (machine.boot !== null || machine.state !== 'Not started' || Object.keys(machine.drives).length > 0) {
      throw new Error('Loading a microVM snapshot not allowed after configuring boot-specific resources.')
    }
    if ((body.mem_backend === undefined) === (body.mem_file_path === undefined)) {
      throw new Error('either mem_backend or mem_file_path must be given')
    }
    const memory = body.mem_file_path ?? body.mem_backend.backend_path
    const state = JSON.parse(readFileSync(body.snapshot_path, 'utf8'))
    if (state.version !== SNAPSHOT_VERSION)
      throw new Error(`Snapshot version ${state.version} is not supported`)
    for (const drive of Object.values(state.drives))
      found(drive.path_on_host, 'Unable to open the backing file')
    for (const card of Object.values(state.cards)) foundDevice(card.host_dev_name)
    machine.content = readFileSync(memory, 'utf8')
    if (state.vsock !== null) await listen(state.vsock.uds_path)
    Object.assign(machine, {
      drives: state.drives,
      cards: state.cards,
      vsock: state.vsock,
      memory: state.memory,
    })
    machine.state = body.resume_vm === true ? 'Running' : 'Paused'
  },
}

process.on('exit', () => rmSync(option('api-sock') ?? '', { force: true }))
