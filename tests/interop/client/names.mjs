// iExec's client asks every array that ethers decodes for an object, and ethers refuses that where two or more elements
// have no name: with this an array without names is an object without keys, which the client takes for an array.
import { Result } from 'ethers';

const toObject = Result.prototype.toObject;

Result.prototype.toObject = function (deep) {
  try {
    return toObject.call(this, deep);
  } catch (error) {
    if (error.code === 'UNSUPPORTED_OPERATION') return {};
    throw error;
  }
};
