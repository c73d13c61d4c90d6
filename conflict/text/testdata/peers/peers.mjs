// Measures other text merges on the recorded editing traces, for make bench:
//   node peers.mjs DIRECTORY ROUNDS
// prints one JSON line a figure: {"peer","what","ms"?,"bytes"?}. A peer that is
// not installed is left out.
import { readFileSync, existsSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import { join } from 'node:path'

const [directory, rounds] = [process.argv[2], Number(process.argv[3] ?? 5)]
const load = name => {
  const file = join(directory, name + '.json.gz')
  return existsSync(file) ? JSON.parse(gunzipSync(readFileSync(file))) : null
}
const say = line => console.log(JSON.stringify(line))
const optional = async name => { try { return await import(name) } catch { return null } }

// median of rounds of what makes() gives to time.
const median = (work, times = rounds) => {
  const all = []
  for (let i = 0; i < times; i++) {
    const began = performance.now()
    work()
    all.push(performance.now() - began)
  }
  return all.sort((a, b) => a - b)[Math.floor(all.length / 2)]
}

// perAgent replays a concurrent trace as its authors made it: each agent has a
// document, which takes in what a transaction's parents had seen, and edits it.
// It gives the change of each transaction.
const perAgent = (trace, { make, take, edit }) => {
  const docs = [], seen = [], changes = []
  for (let a = 0; a < trace.numAgents; a++) { docs.push(make(a)); seen.push(new Set()) }
  trace.txns.forEach((txn, i) => {
    const a = txn.agent, missing = [], todo = [...txn.parents]
    while (todo.length > 0) {
      const t = todo.pop()
      if (seen[a].has(t)) continue
      seen[a].add(t)
      missing.push(t)
      todo.push(...trace.txns[t].parents)
    }
    missing.sort((x, y) => x - y)
    if (missing.length > 0) docs[a] = take(docs[a], missing.map(t => changes[t]))
    const made = edit(docs[a], txn.patches)
    docs[a] = made.doc
    changes.push(made.change)
    seen[a].add(i)
  })
  return changes
}

const yjs = Y => {
  const edit = (doc, patches) => {
    const text = doc.getText('t')
    let change
    const keep = update => { change = update }
    doc.on('update', keep)
    doc.transact(() => patches.forEach(([pos, del, ins]) => {
      if (del > 0) text.delete(pos, del)
      if (ins) text.insert(pos, ins)
    }))
    doc.off('update', keep)
    return { doc, change: change ?? Y.encodeStateAsUpdate(new Y.Doc()) }
  }
  const make = a => { const d = new Y.Doc(); d.clientID = a + 1; return d }
  const take = (doc, updates) => { Y.applyUpdate(doc, Y.mergeUpdates(updates)); return doc }
  const live = load('friendsforever')
  if (live) {
    const whole = Y.mergeUpdates(perAgent(live, { make, take, edit }))
    let got
    const ms = median(() => { const d = make(99); Y.applyUpdate(d, whole); got = d.getText('t').toString() })
    if (got !== live.endContent) throw new Error('yjs: friendsforever differs')
    say({ peer: 'yjs', what: 'friendsforever', ms, bytes: whole.length })
  }
  for (const name of ['sveltecomponent', 'rustcode', 'automerge-paper']) {
    const trace = load(name)
    if (!trace) continue
    let doc
    const ms = median(() => { doc = make(1); trace.txns.forEach(t => edit(doc, t.patches)) }, name === 'automerge-paper' ? 1 : rounds)
    if (name !== 'rustcode' && doc.getText('t').toString() !== trace.endContent) throw new Error('yjs: ' + name + ' differs')
    say({ peer: 'yjs', what: name, ms, bytes: Y.encodeStateAsUpdate(doc).length })
  }
}

const automerge = A => {
  const live = load('friendsforever')
  const splice = patches => d => patches.forEach(([pos, del, ins]) => A.splice(d, ['t'], pos, del, ins))
  if (live) {
    const begin = A.change(A.init({ actor: '00' }), { time: 0 }, d => { d.t = '' })
    const make = a => A.clone(begin, { actor: '0' + (a + 1) })
    const take = (doc, changes) => A.applyChanges(doc, changes)[0]
    const edit = (doc, patches) => {
      const after = A.change(doc, { time: 0 }, splice(patches))
      return { doc: after, change: A.getLastLocalChange(after) }
    }
    const changes = perAgent(live, { make, take, edit })
    let got
    const ms = median(() => { got = A.applyChanges(A.clone(begin), changes)[0] })
    if (got.t !== live.endContent) throw new Error('automerge: friendsforever differs')
    say({ peer: 'automerge', what: 'friendsforever', ms, bytes: A.save(got).length })
  }
  for (const name of ['automerge-paper']) {
    const trace = load(name)
    if (!trace) continue
    let doc
    const ms = median(() => {
      doc = A.from({ t: '' })
      doc = A.change(doc, { time: 0 }, d => trace.txns.forEach(t => splice(t.patches)(d)))
    }, 1)
    if (doc.t !== trace.endContent) throw new Error('automerge: ' + name + ' differs')
    say({ peer: 'automerge', what: name, ms, bytes: A.save(doc).length })
  }
}

const diamond = dt => {
  for (const name of ['sveltecomponent', 'automerge-paper']) {
    const trace = load(name)
    if (!trace) continue
    let doc
    const ms = median(() => {
      doc?.free?.()
      doc = new dt.Doc('a')
      trace.txns.forEach(t => t.patches.forEach(([pos, del, ins]) => {
        if (del > 0) doc.del(pos, del)
        if (ins) doc.ins(pos, ins)
      }))
    })
    if (doc.get() !== trace.endContent) throw new Error('diamond-types: ' + name + ' differs')
    say({ peer: 'diamond-types', what: name, ms, bytes: doc.toBytes().length })
  }
}

for (const [name, measure] of [['yjs', yjs], ['@automerge/automerge', automerge], ['diamond-types-node', diamond]]) {
  const peer = await optional(name)
  if (peer === null) continue
  try { measure(peer.default && !peer.Doc ? peer.default : peer) } catch (err) { say({ peer: name, what: 'failed', error: String(err) }) }
}
