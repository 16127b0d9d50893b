//! Making an agent hold what is wanted, and only that of this node's.

use tracing::warn;

use super::{
    agent::{Beat, Held},
    body::{Body, tcp_check, ttl_check, validate},
    client::{REQUEST, Scope},
    keeper::Keeper,
};
use crate::{Health, RegistryError};

impl Keeper {
    /// Registers everything.
    pub(super) async fn put_all(&mut self) -> Result<(), RegistryError> {
        let wanted = self.bodies_of(&self.what);
        validate(&wanted)?;
        self.check_rival().await?;
        let held = self.agent.held(&self.what.node).await?;
        self.remove_leftovers(&held, &wanted).await?;
        for body in &wanted {
            self.agent.put(body).await?;
            self.beat_if_due().await?;
        }
        if !self.agent.config.tcp_check {
            // An earlier start of the node may have wanted it.
            self.agent.remove_check(&tcp_check(&self.primary())).await?;
        }
        // A check that was there already keeps its state, which may be that of a node that has died.
        match self
            .agent
            .beat(
                &ttl_check(&self.primary()),
                self.health,
                &self.note,
                REQUEST,
            )
            .await?
        {
            Beat::Taken => Ok(()),
            Beat::Forgotten(why) => Err(RegistryError::unavailable(why)),
        }
    }

    /// Puts back what is missing or changed, and removes what is too much.
    pub(super) async fn put_missing(&mut self) -> Result<(), RegistryError> {
        let wanted = self.bodies_of(&self.what);
        self.check_rival().await?;
        let held = self.agent.held(&self.what.node).await?;
        self.remove_leftovers(&held, &wanted).await?;
        for body in &wanted {
            if !held.iter().any(|held| held.id == body.id && held.is(body)) {
                warn!(id = %body.id, "the agent has lost or changed a service; it is registered again");
                self.agent.put(body).await?;
                self.beat_if_due().await?;
            }
        }
        Ok(())
    }

    /// Apps of an earlier start that are no longer offered: their checks are aliases of this start and would pass for ever.
    async fn remove_leftovers(&self, held: &[Held], wanted: &[Body]) -> Result<(), RegistryError> {
        let own = held.iter().filter(|held| held.is_of(&self.what.node));
        for held in own.filter(|held| !wanted.iter().any(|body| body.id == held.id)) {
            self.agent.remove(&held.id).await?;
        }
        Ok(())
    }

    /// Whether a newer start of this node lives, at this agent or another one.
    async fn check_rival(&self) -> Result<(), RegistryError> {
        let node = &self.what.node;
        let primary = &self.what.primary.name;
        let filter = format!("Service.ID == \"{}\"", self.primary());
        let seen = self
            .agent
            .look_up(Scope::Home, primary, Some(filter))
            .await?;
        let rival = seen.set.iter().find(|instance| {
            &instance.node == node
                && instance.boot() > self.what.boot()
                && instance.health != Health::Critical
        });
        match rival {
            Some(rival) => Err(self.conflict(format!("{}:{}", rival.host, rival.port))),
            None => Ok(()),
        }
    }

    /// The same at this agent alone, whose word is as of now.
    async fn check_own(&self) -> Result<(), RegistryError> {
        let held = self.agent.held_as(&self.primary(), REQUEST).await?;
        match held {
            Some(held) if held.boot() > self.what.boot() => Err(self.conflict(held.place())),
            _ => Ok(()),
        }
    }

    /// Makes the old registration the new one and touches nothing else.
    pub(super) async fn put_difference(
        &mut self,
        old: &[Body],
        new: &[Body],
    ) -> Result<(), RegistryError> {
        self.check_own().await?;
        for gone in old
            .iter()
            .filter(|old| !new.iter().any(|new| new.id == old.id))
        {
            self.agent.remove(&gone.id).await?;
            self.beat_if_due().await?;
        }
        for body in new.iter().filter(|body| !old.contains(body)) {
            self.agent.put(body).await?;
            self.beat_if_due().await?;
        }
        Ok(())
    }
}
