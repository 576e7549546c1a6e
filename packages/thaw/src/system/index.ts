export { allowanceDifference, grant, ownAllowance, withLack, type Grant } from './allowance.js'
export { agentsDirectory, daemonProgram, packerProgram, nativeProgram, packageRoot } from './assets.js'
export { writeFileAtomic } from './atomic.js'
export { Cgroup, sweepCgroups, type CgroupLimits, type CgroupUse } from './cgroup.js'
export { Disposables } from './disposables.js'
export { errorLine, ThawError, type ErrorCode } from './error.js'
export { readOwner, takeLock, type Lock, type LockOwner } from './lock.js'
export { exitCode, signalCode } from './exit-code.js'
export {
  duplicateOf,
  extentsOf,
  makeFifo,
  makePipe,
  openBelow,
  openTerminal,
  resizeTerminal,
  setTimes,
  TerminalMode,
  terminalSize,
  waitingBytes,
  type PseudoTerminal,
} from './kernel.js'
export { fileLog, silentLog, type Log, type LogLevel } from './log.js'
export { matcher } from './match.js'
export { Metrics, type ColdReason, type FallbackReason } from './metrics.js'
export { findPaths, preparePaths, preparePrivate, type Paths } from './paths.js'
export { bootId, identify, inForeground, isAlive, type ProcessIdentity } from './process-identity.js'
export { removeTree } from './remove.js'
export { checkScope, openScope, within, withTimeout, type Scope } from './scope.js'
export { WriteWatch, type WrittenFile } from './write-watch.js'
export { startDetached, startProcess, type Child, type Exit, type SpawnOptions } from './spawn.js'
