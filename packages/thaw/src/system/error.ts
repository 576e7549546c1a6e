export { ThawError, errorLine, type ErrorCode } from '@thaw/protocol/errors'
