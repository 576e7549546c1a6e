/** Checkpoints of any program, by CRIU, as files: they outlive the daemon. */
import { constants } from 'node:fs'
import { copyFile, mkdir, writeFile } from 'node:fs/promises'
import { readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import {
  checkScope,
  nativeProgram,
  TerminalMode,
  removeTree,
  ThawError,
  within,
  withTimeout,
  type Scope,
} from '../../system/index.js'
import type { Ability, AnyImage, Branch, OutsideEngine, StartSpec, TerminalSize } from '../engine.js'
import { ProcessBranch, type BranchParts } from './branch.js'
import { complaint, DUMP_LOG, dumpCommand, RESTORE_LOG, restoreCommand } from './criu/commands.js'
import type { Criu } from './criu/criu.js'
import { needsUserNamespace, type CriuProvider } from './criu/provide.js'
import { asDiskFull, asThawError, dumpFailure, restoreFailure } from './errors.js'
import { copyTree } from '../../files/copy.js'
import { WrittenFiles } from '../../files/written.js'
import { fillMemory, putBack, putWritten, saveFiles, saveWritten, worthSaving } from './files.js'
import type { ProcessGroup } from './group.js'
import { keepLayers, listLayers } from './layers.js'
import { noteFile, notePlace, PART, ProcessImage, sealImage, thisMachine, type Manifest } from './image.js'
import { canBeLazy, LAZY_FROM, memoryOf, PageServer } from './lazy.js'
import { inspectTree, readTree, treeOf } from './inspect.js'
import { carry, CARRIED_NAMES, findCarrier } from './network.js'
import { Sandbox } from './sandbox.js'
import {
  adoptMode,
  makeSetting,
  makeView,
  neededOfTemporary,
  showCopy,
  tellBranch,
  SHARED_MEMORY,
  TEMPORARY,
  WORK,
  type Setting,
} from './setting.js'
import type { HeldBranch, ProcessCheckpoint, ProcessLaunch, ProcessRestore, Standing } from './specs.js'
import { BranchStreams } from './streams.js'
import { tellRestored } from './told.js'
import { WITHOUT_CARE, type ImageCare } from './keeper.js'

/** How long each step may take; what takes longer hangs. Milliseconds. */
const LAUNCH_TIMEOUT = 60_000
const DUMP_TIMEOUT = 300_000
const RESTORE_TIMEOUT = 120_000

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

  /** Why it cannot be used as things are, without anything being fetched; null when it can. */
  async missing(scope: Scope): Promise<ThawError | null> {
    const criu = await this.#provider.look(scope)
    return criu instanceof ThawError ? criu : null
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
              name: 'checkpoints without root: programs see themselves as root in a user namespace; System V objects, and files that were closed, are not in them',
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
    const { root = null, layered = false, seen = [], user = null, hostname = null } = spec
    const setting: Setting = {
      cwd: spec.cwd,
      ownTemporary: (spec.ownTemporary ?? true) && spec.cwd !== TEMPORARY && root === null,
      visible: root === null ? neededOfTemporary(spec.argv, spec.cwd, spec.env, spec.visible) : [],
      root,
      layered,
    }
    const network = spec.network ?? 'host'
    const bounded = withTimeout(scope, LAUNCH_TIMEOUT)
    const { cpus } = spec.allowance
    const accounted = spec.accounted === true || (layered && seen.length === 0)
    return await this.#open(
      group,
      spec,
      { network, setting, seen, cpus, view: 'shared', layers: [], accounted },
      criu,
      bounded,
      async (parts, follow) => {
        const { sandbox, streams, work, reaper } = parts
        const { instead } = spec
        spec.admit?.(sandbox.initPid)
        if (layered) adoptMode(root ?? spec.cwd, work)
        const directories = { images: group.images, work, ...(instead && { copy: instead.directory }) }
        makeSetting(sandbox, setting, criu, directories, reaper, [], seen)
        if (instead !== undefined) showCopy(sandbox, instead)
        try {
          await sandbox.settle(bounded)
          await spec.prepare?.(sandbox.initPid)
          tellBranch(sandbox, spec.branch, 0)
          if (!accounted) follow([])
          sandbox.tell('identity', String(user?.uid ?? -1), String(user?.gid ?? -1), hostname ?? '')
          const program = { ...spec, terminal: streams.terminal !== null, streams: streams.given }
          return await sandbox.start(program, bounded)
        } catch (error) {
          throw asThawError(error, spec.argv[0] ?? '', spec.cwd)
        }
      },
    )
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
    const { sandbox, streams, pids, setting, seen, network, work, reaper, cpus, written, layers } =
      branch.parts
    const bounded = withTimeout(scope, DUMP_TIMEOUT)
    const tcp = how.tcp ?? null
    const alone = network !== 'host'
    inspectTree(sandbox.initPid, branch.root, tcp, alone)
    const { draft, final } = group.newImage()
    const directory = join(group.images, draft)
    const log = join(directory, PART.criu, DUMP_LOG)
    let undoLayers = () => Promise.resolve()
    try {
      await mkdir(join(directory, PART.criu), { recursive: true, mode: 0o700 })
      await copyFile(reaper, join(directory, PART.reaper), constants.COPYFILE_FICLONE)
      let held: Held | null = null
      let undone: unknown = null
      const paused = async () => {
        try {
          const { unread, ...counts } = await streams.cut()
          await writeFile(join(directory, PART.stdin), unread)
          how.cut?.(counts)
          const tree = readTree(branch.root)
          const files = await saveFiles(worthSaving(tree.written, setting, seen), join(directory, PART.files))
          const closed = [...(written?.now(true).keys() ?? [])].filter((path) => !files.includes(path))
          const kept = await saveWritten(closed, sandbox.inside(''), join(directory, PART.written))
          const all = { ...kept, complete: branch.parts.accounted || written?.overflow === false }
          await copyTree(sandbox.inside(SHARED_MEMORY), join(directory, PART.memory), bounded)
          if (setting.ownTemporary)
            await copyTree(join(work, WORK.temporary), join(directory, PART.temporary), bounded)
          if (setting.layered) {
            const part = join(directory, PART.layers)
            undoLayers = await keepLayers(layers, join(work, WORK.upper), part, how.stop === true, bounded)
          }
          const processes = tree.pids.length
          held = { streams: withMode(streams), counts, files, written: all, processes }
        } catch (error) {
          undone = error
          throw error
        }
      }
      // A root file system is nobody's to change; paths in it are not those of the machine.
      const program = setting.root === null ? noteFile(linkOf(`/proc/${branch.pid}/exe`)) : null
      const argv = dumpCommand(
        criu,
        pids.root,
        join(draft, PART.criu),
        streams.names,
        tcp,
        how.stop === true ? 'stands' : 'runs',
      )
      const { status, lastPid } = await sandbox.criu(argv, bounded, paused)
      if (undone !== null) throw undone as Error
      if (status !== 0 || held === null) throw await dumpFailure(log, branch)
      how.goesOn?.()
      const image = await sealImage(directory, join(group.images, final), {
        engine: 'process',
        machine: thisMachine(criu),
        program,
        pids: { ...pids, last: lastPid },
        network,
        processors: cpus,
        tcp,
        stdinEnded: streams.inputEnded,
        setting,
        place: notePlace(setting.root ?? setting.cwd),
        ...(held as Held),
      })
      if (how.stop === true) branch.end()
      return image
    } catch (error) {
      await undoLayers()
      if (how.stop === true) goOn(branch)
      const over = branch.over && !(error instanceof ThawError && error.code === 'CHECKPOINT_REFUSED')
      scope.log.warn('A checkpoint failed; the program runs on.', { error, log: textOf(log).slice(-4000) })
      removeTree(directory)
      if (over) throw new ThawError('CHECKPOINT_REFUSED', 'The program ended before it could be copied.')
      throw asDiskFull(error)
    }
  }

  restore(group: ProcessGroup, image: AnyImage, spec: ProcessRestore, scope: Scope): Promise<ProcessBranch> {
    return this.#restore(group, image, spec, scope, null)
  }

  /** As restore, up to the last step: no instruction of the program has run yet when this resolves. */
  async hold(group: ProcessGroup, image: AnyImage, spec: ProcessRestore, scope: Scope): Promise<HeldBranch> {
    let go!: () => void
    const gate = new Promise<void>((resolve) => (go = resolve))
    let stand!: (sandbox: Sandbox) => void
    const standing = new Promise<Sandbox>((resolve) => (stand = resolve))
    const branch = this.#restore(group, image, spec, scope, (sandbox) => {
      stand(sandbox)
      return gate
    })
    branch.catch(() => {})
    const sandbox = await Promise.race([standing, branch.then(() => standing)])
    let released = false
    return {
      initPid: sandbox.initPid,
      release: (hostname) => {
        released = true
        if (hostname !== null) sandbox.tell('name', hostname)
        go()
        return branch
      },
      [Symbol.asyncDispose]: async () => {
        if (released) return
        await sandbox[Symbol.asyncDispose]()
        await branch.catch(() => {})
      },
    }
  }

  /** @param standing called when everything is restored; the program goes on when it resolves */
  async #restore(
    group: ProcessGroup,
    image: AnyImage,
    spec: ProcessRestore,
    scope: Scope,
    standing: Standing | null,
  ): Promise<ProcessBranch> {
    if (!(image instanceof ProcessImage)) throw new ThawError('INTERNAL', 'This image is of another engine.')
    if (!image.alive) throw new ThawError('CHECKPOINT_GONE', 'The checkpoint is not there any more.')
    const criu = await this.#provider.get(this.#say, scope)
    const whole = await this.#care.use(image)
    let branch
    try {
      branch = await this.#restoreWhole(group, image, spec, criu, scope, standing)
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
    standing: Standing | null,
  ): Promise<ProcessBranch> {
    const bring = (lazy: boolean) => this.#bring(group, image, spec, criu, lazy, scope, standing)
    const isLarge = memoryOf(image) >= (spec.lazyFrom ?? LAZY_FROM)
    // The server needs a shell in the sandbox; one that is held has the time to have all of its memory.
    const mayBe = standing === null && image.manifest.setting.root === null
    if (isLarge && mayBe && this.#isLazy && canBeLazy(criu)) {
      try {
        return await bring(true)
      } catch (error) {
        if (!(error instanceof ThawError && error.code === 'ENGINE_FAILED')) throw error
        // Where it fails without pages, that is what is told.
        scope.log.info('Memory could not be brought later; it is brought at once.', { error })
      }
      const branch = await bring(false)
      this.#isLazy = false
      return branch
    }
    return await bring(false)
  }

  async #bring(
    group: ProcessGroup,
    image: ProcessImage,
    spec: ProcessRestore,
    criu: Criu,
    lazy: boolean,
    scope: Scope,
    standing: Standing | null,
  ): Promise<ProcessBranch> {
    const { manifest } = image
    const differences = image.differences(thisMachine(criu))
    if (differences.length > 0 && spec.force !== true) {
      throw new ThawError('IMAGE_MISMATCH', `The checkpoint does not fit: ${differences.join('; ')}.`)
    }
    image.check()
    const { network, setting, streams: old, processors: cpus } = manifest
    const view = spec.view ?? 'private'
    const isPrivate = view === 'private'
    const adapted = { ...spec, streams: adaptStreams(spec.streams, old) }
    const bounded = withTimeout(scope, RESTORE_TIMEOUT)
    const { seen = [] } = spec
    const accounted = spec.accounted === true || (setting.layered && seen.length === 0)
    return await this.#open(
      group,
      adapted,
      { network, setting, seen, cpus, view, accounted, layers: listLayers(image.part('layers')) },
      criu,
      // One that is held may stay so for long.
      standing === null ? bounded : scope,
      async (parts, follow) => {
        const { sandbox, streams, work, layers, notes } = parts
        spec.admit?.(sandbox.initPid)
        const reaper = image.part('reaper')
        if (setting.ownTemporary) await copyTree(image.part('temporary'), join(work, WORK.temporary), bounded)
        if (cpus !== null) sandbox.tell('processors', cpus)
        const directories = { images: group.images, work, image: image.directory }
        if (setting.layered) adoptMode(setting.root ?? setting.cwd, work)
        makeSetting(sandbox, setting, criu, directories, reaper, layers, seen)
        await sandbox.settle(bounded)
        const other =
          isPrivate && !setting.layered ? await makeView(sandbox, setting.cwd, work, bounded) : null
        if (other !== null && manifest.files.length > 0) notes.push(other)
        await fillMemory(sandbox, image.part('memory'), bounded)
        await putBack(sandbox, manifest.files, image.part('files'), setting.cwd, isPrivate, work, bounded)
        if (!accounted) {
          const { files } = manifest.written
          putWritten(files, image.part('written'), sandbox.inside(''), spec.stays ?? new Set())
          follow(files.map(({ path }) => path))
        }
        tellBranch(sandbox, spec.branch, spec.number ?? 0)
        spec.furnished?.(sandbox)
        if (spec.unread !== false) {
          const mode = old.kind === 'terminal' && old.mode !== undefined ? old.mode : null
          const given = mode === null ? null : new TerminalMode(Buffer.from(mode, 'base64'))
          await streams.giveBack(readFileSync(image.part('stdin')), given)
          if (streams.terminal === null && (spec.streams.stdin === 'null' || manifest.stdinEnded))
            streams.input?.end()
        }
        const { hostname = null } = spec
        const stands = standing !== null || hostname !== null
        const inherited = streams.inherited(old)
        if (lazy) parts.pages = await PageServer.start(sandbox, criu, work, bounded)
        const how = { held: stands, lazy }
        const argv = restoreCommand(criu, WORK.restore, PART.criu, inherited, manifest.tcp, how)
        let ready!: () => void
        const stood = new Promise<void>((resolve) => (ready = resolve))
        const paused = async () => {
          if (hostname !== null) sandbox.tell('name', hostname)
          tellRestored(treeOf(sandbox.initPid))
          ready()
          await standing?.(sandbox)
        }
        const { pids } = manifest
        const restored = sandbox.restore(pids, pids.last, argv, stands ? paused : null)
        // criu waits for ever for some of what a damaged image lacks; a program that stands waits for its caller.
        const step = stands ? Promise.race([stood, restored]) : restored
        await within(bounded, 'restoring', step)
        const whole = await restored
        if (!whole) {
          const log = join(work, WORK.restore, RESTORE_LOG)
          scope.log.warn('A restore failed.', { log: textOf(log).slice(-4000) })
          throw restoreFailure(complaint(log))
        }
        if (spec.streams.terminal !== null) streams.terminal?.resize(spec.streams.terminal)
        return pids
      },
    )
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
    about: Pick<BranchParts, 'network' | 'setting' | 'seen' | 'cpus' | 'view' | 'layers' | 'accounted'>,
    criu: Criu,
    scope: Scope,
    begin: (
      parts: Omit<BranchParts, 'pids' | 'written'>,
      /** To be called before the program goes on. */
      follow: (written: readonly string[]) => void,
    ) => Promise<BranchParts['pids']>,
  ): Promise<ProcessBranch> {
    const { network, setting } = about
    if (network === 'private+out' && findCarrier() === null) await carry(0, criu.user, scope)
    const work = group.makeWork()
    const beside: AsyncDisposable[] = []
    let streams: BranchStreams | undefined
    let sandbox: Sandbox | undefined
    let written: WrittenFiles | null = null
    try {
      const { terminal } = spec.streams
      if (terminal === null) streams = BranchStreams.openPipes(spec.streams, spec.listener)
      const ends = streams?.ends ?? [null, null, null]
      sandbox = await Sandbox.start({ user: criu.user, network, streams: ends }, scope)
      streams ??= await BranchStreams.openTerminal(terminal as TerminalSize, sandbox, spec.listener, scope)
      const { initPid } = sandbox
      if (network === 'private+out') {
        beside.push(await carry(initPid, criu.user, scope))
        if (findCarrier()?.name === 'slirp4netns') {
          await writeFile(join(work, WORK.names), CARRIED_NAMES)
          sandbox.tell('bind', join(work, WORK.names), '/etc/resolv.conf')
        }
      }
      const notes: string[] = []
      const parts: Omit<BranchParts, 'pids' | 'written'> = {
        ...about,
        pages: null,
        notes,
        sandbox,
        streams,
        work,
        beside,
        reaper: nativeProgram('sandbox'),
      }
      const pids = await begin(parts, (earlier) => {
        written = WrittenFiles.watch(setting.cwd, parts.sandbox.inside(''), earlier)
      })
      checkScope(scope, 'starting the program')
      streams.handedOver()
      const branch = new ProcessBranch(spec.branch, { ...parts, pids, written })
      group.keep(branch, branch.gone)
      return branch
    } catch (error) {
      await sandbox?.[Symbol.asyncDispose]()
      ;(written as WrittenFiles | null)?.[Symbol.dispose]()
      await Promise.all(beside.map((one) => one[Symbol.asyncDispose]()))
      streams?.close(false)
      removeTree(work)
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

/** What is known of a program only while it stands still. */
type Held = Pick<Manifest, 'streams' | 'counts' | 'files' | 'written' | 'processes'>

function withMode({ names, terminal }: BranchStreams): Manifest['streams'] {
  if (names.kind !== 'terminal' || terminal === null) return names as Manifest['streams']
  return { ...names, size: terminal.size, mode: terminal.mode.bytes.toString('base64') }
}

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
