declare const __THAW_VERSION__: string | undefined
declare const __THAW_BUILD__: string | undefined

/** Version of the package, put in when it is built. */
export const VERSION = typeof __THAW_VERSION__ === 'string' ? __THAW_VERSION__ : '0.0.0-source'

/** Digest of the sources this was built from: a command line talks only to a daemon of the same build. */
export const BUILD = typeof __THAW_BUILD__ === 'string' ? __THAW_BUILD__ : 'source'
