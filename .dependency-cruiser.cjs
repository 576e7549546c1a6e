// The walls of the rooms described in ARCHITECTURE.md.
const daemonRooms = '^packages/thaw/src/(api|runs|languages|engines|files|services|snapshots|repair|store)/'

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    {
      name: 'no-cycles',
      severity: 'error',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    { name: 'not-resolved', severity: 'error', from: {}, to: { couldNotResolve: true } },
    {
      name: 'protocol-is-pure',
      comment: 'What crosses a boundary runs anywhere: no Node, nothing of the other packages.',
      severity: 'error',
      from: { path: '^packages/protocol/src/', pathNot: '\\.test\\.ts$' },
      to: { dependencyTypes: ['core'] },
    },
    {
      name: 'protocol-stands-alone',
      severity: 'error',
      from: { path: '^packages/protocol/' },
      to: { path: '^packages/(sdk|thaw)/' },
    },
    {
      name: 'sdk-knows-protocol-only',
      severity: 'error',
      from: { path: '^packages/sdk/' },
      to: { path: '^packages/thaw/' },
    },
    {
      name: 'sdk-is-pure-but-for-its-node-half',
      severity: 'error',
      from: {
        path: '^packages/sdk/src/(index|client|call|events|operation|settled|transport|fetch-transport|frame-stream|websocket|terminal|instances|images|snapshots|pools)\\.ts$',
      },
      to: { dependencyTypes: ['core'] },
    },
    {
      name: 'cli-never-imports-the-daemon',
      severity: 'error',
      from: { path: '^packages/thaw/src/(cli|mcp)/' },
      to: { path: daemonRooms },
    },
    {
      name: 'fast-path-stays-light',
      comment: 'What `thaw run` loads at start.',
      severity: 'error',
      from: {
        path: '^packages/thaw/src/cli/(main|run|run-arguments|connect|input|output)\\.ts$|^packages/sdk/src/(run-stream|frame-stream)\\.ts$|^packages/protocol/src/(errors|frames)\\.ts$',
      },
      to: {
        path: '/(zod|commander|fastify|koffi|libsql)/|^(http|https|child_process|koffi|libsql|zod|commander)$|^packages/thaw/src/system/index\\.ts$',
        dependencyTypesNot: ['dynamic-import', 'type-only'],
      },
    },
    {
      name: 'only-spawn-spawns',
      severity: 'error',
      from: { path: '^packages/', pathNot: '^packages/thaw/src/system/spawn\\.ts$|\\.test\\.ts$' },
      to: { path: '^(node:)?child_process$' },
    },
    {
      name: 'only-database-binds',
      severity: 'error',
      from: { path: '^packages/', pathNot: '^packages/thaw/src/store/database\\.ts$' },
      to: { path: 'libsql' },
    },
    {
      name: 'engines-know-no-languages',
      severity: 'error',
      from: { path: '^packages/thaw/src/engines/' },
      to: { path: '^packages/thaw/src/(languages|runs|api)/' },
    },
    {
      name: 'languages-know-no-engines',
      severity: 'error',
      from: { path: '^packages/thaw/src/languages/' },
      to: { path: '^packages/thaw/src/(engines|runs|api)/' },
    },
    {
      name: 'snapshots-know-no-runs',
      severity: 'error',
      from: { path: '^packages/thaw/src/snapshots/' },
      to: { path: '^packages/thaw/src/(runs|languages|api|cli)/' },
    },
    {
      name: 'runs-know-no-api',
      severity: 'error',
      from: { path: '^packages/thaw/src/(runs|store|files|system)/' },
      to: { path: '^packages/thaw/src/(api|cli)/' },
    },
    {
      name: 'system-and-store-stand-below',
      severity: 'error',
      from: { path: '^packages/thaw/src/(system|store)/' },
      to: { path: '^packages/thaw/src/(api|cli|runs|languages|engines|files)/' },
    },
    {
      name: 'tests-are-not-imported',
      severity: 'error',
      from: { pathNot: '(\\.test\\.ts$|^tests/)' },
      to: { path: '(\\.test\\.ts$|^tests/)' },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '(^|/)(dist|dist\\.new|agents)/|/bin/thaw\\.js$|^tests/exactness/programs/' },
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    enhancedResolveOptions: {
      conditionNames: ['thaw-source', 'import', 'node', 'default', 'types'],
      exportsFields: ['exports'],
    },
  },
}
