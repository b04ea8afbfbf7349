//! Where a station keeps state.

use crate::guard::Keeper;
use crate::station::Trouble;
use crate::store::{Checkpoint, Flash, Store, StoreError};
use offshoot_runtime::Trainer;

/// Flash, and what is known of the checkpoints in it.
pub(super) struct Kept<'m> {
    pub(super) flash: Option<&'m mut dyn Flash>,
    pub(super) store: Option<Result<Store, StoreError>>,
}

impl Kept<'_> {
    /// Looks for checkpoints of the trainer's model.
    pub(super) fn open<T: Trainer + ?Sized>(&mut self, trainer: &T) {
        let (model, length) = (trainer.header().model_hash, trainer.state().len());
        self.store = self.flash.as_deref_mut().map(|flash| Store::open(flash, model, length));
    }

    /// Puts the state of the newest checkpoint in place, or its first content where there is none or
    /// reading it broke off; and `steps` to those behind it.
    pub(super) fn load<T: Trainer + ?Sized>(
        &mut self,
        trainer: &mut T,
        steps: &mut u32,
    ) -> Result<Option<Checkpoint>, Trouble> {
        let flash = self.flash.as_deref_mut().ok_or(Trouble::NoFlash)?;
        let store = self.store.as_ref().ok_or(Trouble::NoFlash)?;
        let store = store.as_ref().map_err(|&error| Trouble::Store(error))?;
        let loaded = store.load(flash, trainer.state_mut());
        match loaded {
            Ok(checkpoint) => {
                *steps = checkpoint.steps;
                return Ok(Some(checkpoint));
            }
            // State is as it was.
            Err(error @ StoreError::Foreign(_)) => return Err(Trouble::Store(error)),
            Err(_) => {
                *steps = 0;
                trainer.reset().map_err(Trouble::Program)?;
            }
        }
        match loaded {
            Err(error) if error != StoreError::Empty => Err(Trouble::Store(error)),
            _ => Ok(None),
        }
    }

    /// Keeps state, which so many steps have led to.
    pub(super) fn save<T: Trainer + ?Sized>(
        &mut self,
        trainer: &T,
        steps: u32,
    ) -> Result<Checkpoint, Trouble> {
        let flash = self.flash.as_deref_mut().ok_or(Trouble::NoFlash)?;
        let store = self.store.as_mut().ok_or(Trouble::NoFlash)?;
        let store = store.as_mut().map_err(|error| Trouble::Store(*error))?;
        store.save(flash, trainer.state(), steps, false).map_err(Trouble::Store)
    }
}

impl Keeper for Kept<'_> {
    type Error = Trouble;

    fn keep<T: Trainer + ?Sized>(&mut self, trainer: &T, steps: u32) -> Result<(), Trouble> {
        self.save(trainer, steps).map(drop)
    }

    fn go_back<T: Trainer + ?Sized>(
        &mut self,
        trainer: &mut T,
        steps: &mut u32,
    ) -> Result<(), Trouble> {
        self.load(trainer, steps).map(drop)
    }
}
