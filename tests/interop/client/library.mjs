// The client as a library, the way a dapp's front end uses it: one bag of two tasks, from orders to results.
import { IExec, utils } from 'iexec';

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
    allowExperimentalNetworks: true,
  },
);

const steps = {
  async account() {
    const me = await iexec.wallet.getAddress();
    const balance = await iexec.account.checkBalance(me);
    return { stake: balance.stake.toString() };
  },
  async bag() {
    const me = await iexec.wallet.getAddress();
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
    const watched = await iexec.deal.obsDeal(dealid);
    await new Promise((resolve, reject) => watched.subscribe({ error: reject, complete: resolve }));
    const deal = await iexec.deal.show(dealid);
    const sizes = [];
    for (const taskid of Object.values(deal.tasks)) {
      const answer = await iexec.task.fetchResults(taskid);
      sizes.push((await answer.arrayBuffer()).byteLength);
    }
    const found = await iexec.deal.fetchRequesterDeals(me);
    const used = await iexec.deal.fetchDealsByApporder(apporderHash);
    await iexec.order.unpublishApporder(apporderHash);
    return { dealid, volume: volume.toString(), sizes, deals: found.count, used: used.count };
  },
};

try {
  console.log(JSON.stringify({ ok: true, ...(await steps[given.step]()) }));
  process.exit(0);
} catch (error) {
  console.log(JSON.stringify({ ok: false, error: `${error}${error.cause ? ` (${error.cause})` : ''}` }));
  process.exit(1);
}
