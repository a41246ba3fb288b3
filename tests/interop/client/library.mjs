// The client as a library, the way a dapp's front end uses it: one step a call, its outcome as one JSON object.
import { IExec, utils } from 'iexec';
import './names.mjs';

const given = JSON.parse(process.argv[2]);
const signer = utils.getSignerFromPrivateKey(given.host, given.key, {
  allowExperimentalNetworks: true,
});
const iexec = new IExec(
  { ethProvider: signer },
  {
    hubAddress: given.hub,
    smsURL: given.url,
    ipfsGatewayURL: given.url,
    iexecGatewayURL: given.url,
    compassURL: given.url,
    resultProxyURL: given.url,
    allowExperimentalNetworks: true,
  },
);

// ethers keeps an answer for a quarter of a second, the count of transactions too: where blocks are made at once, as on
// a local chain, the next transaction waits for that
const settled = async (sent) => {
  const outcome = await sent;
  await new Promise((resolve) => setTimeout(resolve, 300));
  return outcome;
};

const me = await iexec.wallet.getAddress();

const refusal = async (promise) => {
  try {
    await promise;
  } catch (error) {
    return `${error.message}${error.cause ? ` (${error.cause})` : ''}`;
  }
  throw Error('it was not refused');
};

const over = (watched) =>
  new Promise((resolve, reject) => watched.subscribe({ error: reject, complete: resolve }));

const steps = {
  async account() {
    await settled(iexec.account.deposit(3));
    await settled(iexec.account.withdraw(1));
    await settled(iexec.account.approve(5, given.pool));
    const allowance = await iexec.account.checkAllowance(me, given.pool);
    await settled(iexec.account.revokeApproval(given.pool));
    const { stake } = await iexec.account.checkBalance(me);
    return { stake: stake.toString(), allowance: allowance.toString() };
  },
  async wallet() {
    await settled(iexec.wallet.sendRLC(2, given.other));
    await settled(iexec.wallet.sendETH(3, given.other));
    const { nRLC, wei } = await iexec.wallet.checkBalances(given.other);
    return { nRLC: nRLC.toString(), wei: wei.toString() };
  },
  async register() {
    const name = 'by the library';
    const image = { multiaddr: given.image, checksum: given.checksum };
    const app = await settled(iexec.app.deployApp({ owner: me, name, type: 'DOCKER', ...image }));
    const dataset = await settled(iexec.dataset.deployDataset({ owner: me, name, ...given.data }));
    const workerpool = await settled(iexec.workerpool.deployWorkerpool({ owner: me, description: name }));
    await iexec.workerpool.transferWorkerpool(workerpool.address, given.other);
    const shown = [
      await iexec.app.showApp(app.address),
      await iexec.dataset.showDataset(dataset.address),
      await iexec.workerpool.showWorkerpool(workerpool.address),
    ];
    const category = await iexec.hub.showCategory(0);
    const owners = [shown[0].app.owner, shown[1].dataset.owner, shown[2].workerpool.owner];
    return { app: app.address, dataset: dataset.address, owners, category: category.name };
  },
  async orders() {
    const sign = async (price) =>
      iexec.order.signApporder(await iexec.order.createApporder({ app: given.app, appprice: price, volume: 3 }));
    const kept = await sign(7);
    const hashes = [await iexec.order.publishApporder(kept), await iexec.order.publishApporder(await sign(8))];
    const { orders } = await iexec.orderbook.fetchAppOrderbook({ app: given.app, requester: me });
    const one = await iexec.orderbook.fetchApporder(hashes[0]);
    const last = await iexec.order.unpublishLastApporder(given.app);
    await settled(iexec.order.cancelApporder(kept));
    const again = await refusal(iexec.order.publishApporder(kept));
    return { hashes, listed: orders.map((each) => each.orderHash), price: one.order.appprice, last, again };
  },
  async bag() {
    const apporder = await iexec.order.signApporder(
      await iexec.order.createApporder({ app: given.app, appprice: 0, volume: 10 }),
    );
    const apporderHash = await iexec.order.publishApporder(apporder);
    const book = await iexec.orderbook.fetchWorkerpoolOrderbook({ category: 0, workerpool: given.pool });
    const workerpoolorder = book.orders[0].order;
    const request = await iexec.order.createRequestorder({
      app: given.app,
      appmaxprice: 0,
      workerpool: given.pool,
      workerpoolmaxprice: workerpoolorder.workerpoolprice,
      category: 0,
      volume: 2,
      params: { iexec_args: '--top 3', iexec_input_files: [given.input] },
    });
    const requestorder = await iexec.order.signRequestorder(request);
    const { dealid, volume } = await iexec.order.matchOrders({ apporder, workerpoolorder, requestorder });
    await over(await iexec.deal.obsDeal(dealid));
    const deal = await iexec.deal.show(dealid);
    const sizes = [];
    const logs = [];
    const statuses = [];
    for (const taskid of Object.values(deal.tasks)) {
      await over(await iexec.task.obsTask(taskid, { dealid }));
      statuses.push((await iexec.task.show(taskid)).statusName);
      const answer = await iexec.task.fetchResults(taskid);
      sizes.push((await answer.arrayBuffer()).byteLength);
      logs.push((await iexec.task.fetchLogs(taskid)).length);
      await iexec.task.fetchOffchainInfo(taskid);
    }
    const found = await iexec.deal.fetchRequesterDeals(me);
    const used = await iexec.deal.fetchDealsByApporder(apporderHash);
    await iexec.order.unpublishApporder(apporderHash);
    return { volume: volume.toString(), statuses, sizes, logs, deals: found.count, used: used.count };
  },
  async claim() {
    const { claimed } = await iexec.deal.claim(given.abandoned);
    return { claimed: Object.keys(claimed).length };
  },
  async secrets() {
    await iexec.secrets.pushRequesterSecret('of-the-library', 'open sesame');
    const known = await iexec.secrets.checkRequesterSecretExists(me, 'of-the-library');
    const unknown = await iexec.secrets.checkRequesterSecretExists(me, 'never-pushed');
    const again = await refusal(iexec.secrets.pushRequesterSecret('of-the-library', 'another'));
    const token = await iexec.storage.defaultStorageLogin();
    await iexec.storage.pushStorageToken(token, { forceUpdate: true });
    return { known, unknown, again, token: await iexec.storage.checkStorageTokenExists(me) };
  },
};

try {
  console.log(JSON.stringify({ ok: true, ...(await steps[given.step]()) }));
  process.exit(0);
} catch (error) {
  console.log(JSON.stringify({ ok: false, error: `${error}${error.cause ? ` (${error.cause})` : ''}` }));
  process.exit(1);
}
