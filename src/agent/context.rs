//! What a step inherits: the chain of plays, roles, blocks and includes around it.

use crate::program::{Block, IncludedRole, Keywords, Layer, LayerId, RoleScope, Tree};

/// One link of the chain. It lives on the executor's stack while the steps inside run.
#[derive(Clone, Copy)]
pub struct Context<'chain> {
    pub parent: Option<&'chain Context<'chain>>,
    pub keywords: &'chain Keywords,
    /// Entered with this link.
    pub role: Option<&'chain RoleScope>,
    /// Include or import parameters: they beat `set_fact`.
    pub parameters: Option<&'chain Layer>,
    /// Layer of import parameters in the program.
    pub parameter_layer: Option<LayerId>,
    /// Layers that this link gives by value: what `include_role` brings.
    pub included: Option<&'chain IncludedRole>,
}

impl<'chain> Context<'chain> {
    /// The outermost link.
    pub fn root(keywords: &'chain Keywords) -> Self {
        Self { parent: None, keywords, role: None, parameters: None, parameter_layer: None, included: None }
    }

    /// A link inside this one.
    pub fn child<'inner>(&'inner self, keywords: &'inner Keywords) -> Context<'inner>
    where
        'chain: 'inner,
    {
        Context { parent: Some(self), keywords, role: None, parameters: None, parameter_layer: None, included: None }
    }

    /// The link of a block.
    pub fn of_block<'inner>(&'inner self, block: &'inner Block) -> Context<'inner>
    where
        'chain: 'inner,
    {
        let mut inner = self.child(&block.keywords);
        inner.role = block.role.as_ref();
        inner.parameter_layer = block.parameters;
        inner.parameters = block.given.as_ref().and_then(|given| given.parameters.as_ref());
        inner.included = block.given.as_ref().and_then(|given| given.included.as_ref());
        inner
    }

    /// This link and its parents, innermost first.
    pub fn chain(&self) -> impl Iterator<Item = &Context<'chain>> {
        std::iter::successors(Some(self), |context| context.parent)
    }

    /// The innermost value of an inherited keyword.
    pub fn keyword(&self, get: impl Fn(&'chain Keywords) -> Option<&'chain Tree>) -> Option<&'chain Tree> {
        self.chain().find_map(|context| get(context.keywords))
    }

    /// All values of a keyword that adds up, outermost first.
    pub fn gathered(&self, get: impl Fn(&'chain Keywords) -> &'chain [Tree]) -> Vec<&'chain Tree> {
        let mut links: Vec<&'chain [Tree]> = self.chain().map(|context| get(context.keywords)).collect();
        links.reverse();
        links.into_iter().flatten().collect()
    }

    /// What a change of the task notifies: its own `notify`, else the innermost around it, through includes too.
    pub fn notify(&self) -> &'chain [Tree] {
        self.chain().find_map(|context| context.keywords.notify.as_deref()).unwrap_or_default()
    }

    /// The role that the step is in.
    pub fn role(&self) -> Option<&'chain RoleScope> {
        self.chain().find_map(|context| context.role)
    }

    /// The chain of roles, innermost first (`ansible_parent_role_names`).
    pub fn roles(&self) -> impl Iterator<Item = &'chain RoleScope> {
        self.chain().filter_map(|context| context.role)
    }
}
