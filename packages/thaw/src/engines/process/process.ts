/** Checkpoints of any program, by CRIU, as files: they outlive the daemon. */
import { constants } from 'node:fs'
import { copyFile, mkdir, rm, writeFile } from 'node:fs/promises'
import { readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { nativeProgram, ThawError, within, withTimeout, type Scope } from '../../system/index.js'
import type {
  Ability,
  AnyImage,
  Branch,
  LaunchSpec,
  OutsideEngine,
  StartSpec,
  TerminalSize,
} from '../engine.js'
import { startError } from '../start-error.js'
import { ProcessBranch, type BranchParts } from './branch.js'
import { complaint, DUMP_LOG, dumpCommand, isDiskFull, RESTORE_LOG, restoreCommand } from './criu/commands.js'
import type { Criu } from './criu/criu.js'
import { needsUserNamespace, type CriuProvider } from './criu/provide.js'
import { copyTree, fillMemory, putBack, saveFiles, worthSaving } from './files.js'
import type { ProcessGroup } from './group.js'
import { noteFile, notePlace, PART, ProcessImage, sealImage, thisMachine, type Manifest } from './image.js'
import { canBeLazy, LAZY_FROM, memoryOf, PageServer } from './lazy.js'
import { inspectTree, readTree, treeOf, type Tcp } from './inspect.js'
import { carry, CARRIED_NAMES, findCarrier } from './network.js'
import { Sandbox, SandboxRefused, type Network } from './sandbox.js'
import {
  makeSetting,
  makeView,
  neededOfTemporary,
  SHARED_MEMORY,
  TEMPORARY,
  WORK,
  type Setting,
} from './setting.js'
import { BranchStreams } from './streams.js'
import { WITHOUT_CARE, type ImageCare } from './keeper.js'

const RESTORE_TIMEOUT = 120_000

export interface ProcessLaunch extends LaunchSpec {
  /** Default: `host`. */
  network?: Network
  /** Whether the sandbox has a /tmp of its own, which belongs to its checkpoints. Default: yes. */
  ownTemporary?: boolean
  /** What of the real /tmp is to be seen in it besides the directory, the command and PATH. */
  visible?: string[]
}

export interface ProcessCheckpoint {
  /** What becomes of connections that leave the sandbox. Default: a refusal. */
  tcp?: Tcp
  /** Whether the program ends once it is copied. Default: it runs on. */
  stop?: boolean
  /** Called while the program stands still and all it had printed has been handed over. */
  cut?: (crossed: { stdin: number }) => void
}

export interface ProcessRestore extends StartSpec {
  /** `private`: what it writes in its directory is its own, and gone with it. Default. */
  view?: 'shared' | 'private'
  /** Restores on a machine that differs from the one that made the image. */
  force?: boolean
  /** Bytes of memory from which on the program goes on before all of it is there. Default: where that wins. */
  lazyFrom?: number
}

export class ProcessEngine implements OutsideEngine<
  ProcessGroup,
  ProcessImage,
  ProcessRestore,
  ProcessLaunch
> {
  readonly name = 'process'
  readonly #provider: CriuProvider
  readonly #say: (what: string) => void
  readonly #care: ImageCare
  /** Whether pages can come later, as far as it has been tried. */
  #isLazy = true

  /**
   * @param say told what takes time, when criu is fetched at the first use
   * @param care of images while they are used
   */
  constructor(
    provider: CriuProvider,
    say: (what: string) => void = () => {},
    care: ImageCare = WITHOUT_CARE,
  ) {
    this.#provider = provider
    this.#say = say
    this.#care = care
  }

  async probe(): Promise<Ability[]> {
    const scope = { signal: new AbortController().signal, log: quiet }
    const criu = await this.#provider.look(scope)
    const works = !(criu instanceof ThawError)
    const carrier = findCarrier()
    return [
      {
        name: works
          ? `checkpoints of any program, with criu ${criu.version} (${criu.source === 'system' ? criu.path : 'fetched'})`
          : 'checkpoints of any program',
        works,
        reason: works ? null : `${criu.message} ${criu.hint}`,
      },
      ...(works && needsUserNamespace()
        ? [
            {
              name: 'checkpoints without root: programs see themselves as root in a user namespace',
              works: true,
              reason: null,
            },
          ]
        : []),
      {
        name:
          carrier === null
            ? 'a private network with a way out'
            : `a private network with a way out, by ${carrier.name}`,
        works: carrier !== null,
        reason:
          carrier === null ? 'Install slirp4netns or pasta (on Debian: apt-get install slirp4netns).' : null,
      },
    ]
  }

  async launch(group: ProcessGroup, spec: ProcessLaunch, scope: Scope): Promise<ProcessBranch> {
    const criu = await this.#provider.get(this.#say, scope)
    const visible = neededOfTemporary(spec.argv, spec.cwd, spec.env, spec.visible)
    const setting: Setting = {
      cwd: spec.cwd,
      ownTemporary: (spec.ownTemporary ?? true) && spec.cwd !== TEMPORARY,
      visible,
    }
    const network = spec.network ?? 'host'
    return await this.#open(group, spec, network, setting, criu, scope, async (parts) => {
      const { sandbox, streams, work, reaper } = parts
      makeSetting(sandbox, setting, criu, { images: group.images, work }, reaper)
      try {
        return await sandbox.start({
          ...spec,
          terminal: streams.terminal !== null,
          streams: streams.given,
        })
      } catch (error) {
        throw asThawError(error, spec.argv[0] ?? '', spec.cwd)
      }
    })
  }

  async checkpoint(
    group: ProcessGroup,
    branch: Branch,
    scope: Scope,
    how: ProcessCheckpoint = {},
  ): Promise<ProcessImage> {
    if (!(branch instanceof ProcessBranch))
      throw new ThawError('INTERNAL', 'This branch is of another engine.')
    if (branch.over) throw new ThawError('CHECKPOINT_REFUSED', 'The program has ended.')
    const criu = await this.#provider.get(this.#say, scope)
    // criu cannot copy what is not there.
    if (branch.parts.pages !== null) await within(scope, 'waiting for memory', branch.parts.pages.done)
    const { sandbox, streams, pids, setting, network, work, reaper } = branch.parts
    const tcp = how.tcp ?? null
    const alone = network !== 'host'
    inspectTree(sandbox.initPid, branch.root, tcp, alone)
    const { draft, final } = group.newImage()
    const directory = join(group.images, draft)
    const log = join(directory, PART.criu, DUMP_LOG)
    try {
      await mkdir(join(directory, PART.criu), { recursive: true, mode: 0o700 })
      await copyFile(reaper, join(directory, PART.reaper), constants.COPYFILE_FICLONE)
      let held: Pick<Manifest, 'counts' | 'files' | 'processes'> | null = null
      let undone: unknown = null
      const paused = async () => {
        try {
          const { unread, ...counts } = await streams.cut()
          await writeFile(join(directory, PART.stdin), unread)
          how.cut?.(counts)
          const tree = readTree(branch.root)
          const files = await saveFiles(worthSaving(tree.written, setting), join(directory, PART.files))
          await copyTree(sandbox.inside(SHARED_MEMORY), join(directory, PART.memory), scope)
          if (setting.ownTemporary)
            await copyTree(join(work, WORK.temporary), join(directory, PART.temporary), scope)
          held = { counts, files, processes: tree.pids.length }
        } catch (error) {
          undone = error
          throw error
        }
      }
      const program = noteFile(linkOf(`/proc/${branch.pid}/exe`))
      const argv = dumpCommand(
        criu,
        pids.root,
        join(draft, PART.criu),
        streams.names,
        tcp,
        how.stop === true ? 'stands' : 'runs',
      )
      const { status, lastPid } = await sandbox.criu(argv, paused)
      if (undone !== null) throw undone as Error
      if (status !== 0 || held === null) throw await dumpFailure(log, branch)
      const image = await sealImage(directory, join(group.images, final), {
        engine: 'process',
        machine: thisMachine(criu),
        program,
        pids: { ...pids, last: lastPid },
        network,
        tcp,
        streams: streams.names,
        stdinEnded: streams.inputEnded,
        setting,
        place: notePlace(setting.cwd),
        ...(held as Pick<Manifest, 'counts' | 'files' | 'processes'>),
      })
      if (how.stop === true) branch.end()
      return image
    } catch (error) {
      if (how.stop === true) goOn(branch)
      const over = branch.over && !(error instanceof ThawError && error.code === 'CHECKPOINT_REFUSED')
      scope.log.warn('A checkpoint failed; the program runs on.', { error, log: textOf(log).slice(-4000) })
      await rm(directory, { recursive: true, force: true })
      if (over) throw new ThawError('CHECKPOINT_REFUSED', 'The program ended before it could be copied.')
      throw asDiskFull(error)
    }
  }

  async restore(
    group: ProcessGroup,
    image: AnyImage,
    spec: ProcessRestore,
    scope: Scope,
  ): Promise<ProcessBranch> {
    if (!(image instanceof ProcessImage)) throw new ThawError('INTERNAL', 'This image is of another engine.')
    if (!image.alive) throw new ThawError('CHECKPOINT_GONE', 'The checkpoint is not there any more.')
    const criu = await this.#provider.get(this.#say, scope)
    const whole = await this.#care.use(image)
    let branch
    try {
      branch = await this.#restoreWhole(group, image, spec, criu, scope)
      return branch
    } finally {
      const { pages = null } = branch?.parts ?? {}
      if (pages === null) whole[Symbol.dispose]()
      else void pages.done.then(() => whole[Symbol.dispose]())
    }
  }

  async #restoreWhole(
    group: ProcessGroup,
    image: ProcessImage,
    spec: ProcessRestore,
    criu: Criu,
    scope: Scope,
  ): Promise<ProcessBranch> {
    const isLarge = memoryOf(image) >= (spec.lazyFrom ?? LAZY_FROM)
    if (isLarge && this.#isLazy && canBeLazy(criu)) {
      try {
        return await this.#restore(group, image, spec, criu, true, scope)
      } catch (error) {
        if (!(error instanceof ThawError && error.code === 'ENGINE_FAILED')) throw error
        // Where it fails without pages, that is what is told.
        scope.log.info('Memory could not be brought later; it is brought at once.', { error })
      }
      const branch = await this.#restore(group, image, spec, criu, false, scope)
      this.#isLazy = false
      return branch
    }
    return await this.#restore(group, image, spec, criu, false, scope)
  }

  async #restore(
    group: ProcessGroup,
    image: ProcessImage,
    spec: ProcessRestore,
    criu: Criu,
    lazy: boolean,
    scope: Scope,
  ): Promise<ProcessBranch> {
    const { manifest } = image
    const differences = image.differences(thisMachine(criu))
    if (differences.length > 0 && spec.force !== true) {
      throw new ThawError('IMAGE_MISMATCH', `The checkpoint does not fit: ${differences.join('; ')}.`)
    }
    image.check()
    const { network, setting, streams: old } = manifest
    const isPrivate = (spec.view ?? 'private') === 'private'
    const adapted = { ...spec, streams: adaptStreams(spec.streams, old) }
    return await this.#open(group, adapted, network, setting, criu, scope, async (parts) => {
      const { sandbox, streams, work } = parts
      const reaper = image.part('reaper')
      if (setting.ownTemporary) await copyTree(image.part('temporary'), join(work, WORK.temporary), scope)
      const directories = { images: group.images, work, image: image.directory }
      makeSetting(sandbox, setting, criu, directories, reaper)
      if (isPrivate) makeView(sandbox, setting.cwd, work)
      await sandbox.settle()
      await fillMemory(sandbox, image.part('memory'), scope)
      await putBack(sandbox, manifest.files, image.part('files'), setting.cwd, isPrivate, work)
      if (streams.terminal === null && streams.input !== null) {
        await streams.input.write(readFileSync(image.part('stdin')))
        if (spec.streams.stdin === 'null' || manifest.stdinEnded) streams.input.end()
      }
      if (lazy) parts.pages = await PageServer.start(sandbox, criu, work, scope)
      const inherited = streams.inherited(old)
      const argv = restoreCommand(criu, WORK.restore, PART.criu, inherited, manifest.tcp, lazy)
      const restored = sandbox.restore(manifest.pids, manifest.pids.last, argv)
      // criu waits for ever for some of what a damaged image lacks.
      if (!(await within(withTimeout(scope, RESTORE_TIMEOUT), 'restoring', restored))) {
        const log = join(work, WORK.restore, RESTORE_LOG)
        scope.log.warn('A restore failed.', { log: textOf(log).slice(-4000) })
        throw restoreFailure(complaint(log))
      }
      if (spec.streams.terminal !== null) streams.terminal?.resize(spec.streams.terminal)
      return manifest.pids
    })
  }

  /**
   * What here differs from where an image was made, in words.
   *
   * @throws ThawError ENGINE_MISSING
   */
  async differences(image: ProcessImage, scope: Scope): Promise<string[]> {
    return image.differences(thisMachine(await this.#provider.get(this.#say, scope)))
  }

  async discard(image: ProcessImage): Promise<void> {
    await this.#care.remove(image)
  }

  /** Opens streams and a sandbox, and has `begin` bring a program into it. On failure nothing is left. */
  async #open(
    group: ProcessGroup,
    spec: StartSpec,
    network: Network,
    setting: Setting,
    criu: Criu,
    scope: Scope,
    begin: (parts: Omit<BranchParts, 'pids'>) => Promise<BranchParts['pids']>,
  ): Promise<ProcessBranch> {
    if (network === 'private+out' && findCarrier() === null) await carry(0, criu.user, scope)
    const work = group.makeWork()
    const beside: AsyncDisposable[] = []
    let streams: BranchStreams | undefined
    let sandbox: Sandbox | undefined
    try {
      const { terminal } = spec.streams
      if (terminal === null) streams = BranchStreams.openPipes(spec.streams, spec.listener)
      const ends = streams?.ends ?? [null, null, null]
      sandbox = await Sandbox.start({ user: criu.user, network, streams: ends }, scope)
      streams ??= await BranchStreams.openTerminal(terminal as TerminalSize, sandbox, spec.listener)
      const { initPid } = sandbox
      if (network === 'private+out') {
        beside.push(await carry(initPid, criu.user, scope))
        if (findCarrier()?.name === 'slirp4netns') {
          await writeFile(join(work, WORK.names), CARRIED_NAMES)
          sandbox.tell('bind', join(work, WORK.names), '/etc/resolv.conf')
        }
      }
      const parts: Omit<BranchParts, 'pids'> = {
        sandbox,
        streams,
        setting,
        network,
        work,
        beside,
        pages: null,
        reaper: nativeProgram('sandbox'),
      }
      const pids = await begin(parts)
      streams.handedOver()
      const branch = new ProcessBranch(spec.branch, { ...parts, pids })
      group.keep(branch, branch.gone)
      return branch
    } catch (error) {
      await sandbox?.[Symbol.asyncDispose]()
      await Promise.all(beside.map((one) => one[Symbol.asyncDispose]()))
      streams?.close(false)
      await rm(work, { recursive: true, force: true })
      throw asThawError(error, '', setting.cwd)
    }
  }
}

/** A program that stands still, since it was to stop, is to run after all. */
function goOn(branch: ProcessBranch): void {
  for (const pid of treeOf(branch.root)) {
    try {
      process.kill(pid, 'SIGCONT')
    } catch {
      // It has ended.
    }
  }
}

const quiet = { debug() {}, info() {}, warn() {}, error() {}, child: () => quiet }

/** A program that had a terminal gets one again; one that had none cannot. */
function adaptStreams(wanted: StartSpec['streams'], old: Manifest['streams']): StartSpec['streams'] {
  if (old.kind === 'terminal') return { ...wanted, terminal: wanted.terminal ?? old.size }
  if (wanted.terminal !== null) {
    throw new ThawError(
      'UNSUPPORTED',
      'This checkpoint is of a program without a terminal, and cannot be given one.',
      {
        hint: 'Resume it without -t.',
      },
    )
  }
  // A program that had a pipe finds its end; one that had /dev/null keeps that.
  return { ...wanted, stdin: old.stdin === null ? 'null' : 'stream' }
}

function restoreFailure(why: string | null): ThawError {
  const message = `The checkpoint could not be restored: ${why ?? 'criu gave no reason'}.`
  if (why === null || !/bind inet/.test(why)) return new ThawError('ENGINE_FAILED', message)
  return new ThawError('ENGINE_FAILED', message, {
    hint: 'Its ports are in use on this machine: launch it with a private network, where every clone has its own.',
  })
}

async function dumpFailure(log: string, branch: ProcessBranch): Promise<ThawError> {
  if (isDiskFull(log)) return new ThawError('DISK_FULL', 'The disk is full; the checkpoint was not made.')
  // It may have ended meanwhile, which is no fault.
  const ended = await Promise.race([
    branch.parts.sandbox.exited,
    new Promise((resolve) => setTimeout(resolve, 20, null)),
  ])
  if (ended !== null)
    return new ThawError('CHECKPOINT_REFUSED', 'The program ended while the checkpoint was made.')
  return new ThawError(
    'NOT_COPYABLE',
    `criu could not copy the program: ${complaint(log) ?? 'it gave no reason'}.`,
  )
}

function asDiskFull(error: unknown): unknown {
  if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') return error
  return new ThawError('DISK_FULL', 'The disk is full; the checkpoint was not made.', { cause: error })
}

function asThawError(error: unknown, command: string, cwd: string): unknown {
  if (!(error instanceof SandboxRefused)) return error
  const { what, error: name } = error
  const told = startError(what, name, command, cwd, error)
  if (told !== null) return told
  return new ThawError('ENGINE_FAILED', `The sandbox could not be made ready (${error.message}).`, {
    cause: error,
  })
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path)
  } catch {
    return ''
  }
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return ''
  }
}
